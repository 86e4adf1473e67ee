"""How good the system is on this casebook, and how good the casebook's data are."""

from explorer.app.evaluation.page import evaluation_page
from explorer.app.shell import active_casebook

evaluation_page(active_casebook())
