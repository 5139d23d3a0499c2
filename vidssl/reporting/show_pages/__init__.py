"""What ``vidssl show`` writes: what training sees of a few videos, and what networks look at."""

from vidssl.reporting.show_pages.networks import NetworkFindings as NetworkFindings
from vidssl.reporting.show_pages.networks import networks_page as networks_page
from vidssl.reporting.show_pages.views import views_page as views_page
