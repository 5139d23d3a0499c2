"""Pictures of one video as training sees it: when and where it moves, its views, and the alignment target.

Everything drawn comes from `vidssl.data.dataset.ClipDataset.draw_views`, so the page shows the very clips of a step of
training with the same configuration and seed.
"""

from vidssl.reporting.contact_sheet.page import Page as Page
from vidssl.reporting.contact_sheet.sheet import contact_sheet as contact_sheet
from vidssl.reporting.contact_sheet.views import plan_in_words as plan_in_words
