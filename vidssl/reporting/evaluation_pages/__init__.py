"""What ``vidssl evaluate --show`` writes: queries beside their neighbours, the confusion of classes, a table."""

from vidssl.reporting.evaluation_pages.network import MeasuredNetwork as MeasuredNetwork
from vidssl.reporting.evaluation_pages.writing import evaluation_pages as evaluation_pages
from vidssl.reporting.evaluation_pages.writing import write_pages as write_pages
