"""How good the system is on this casebook, and how good the casebook's data are."""

from explorer.widgets.evaluation_page import evaluation_page
from explorer.widgets.shell import active_casebook

evaluation_page(active_casebook())
