"""One case, by its address: ?case=ID&casebook=NAME."""

from explorer.app.case.page import case_page
from explorer.app.shell import active_casebook

case_page(active_casebook())
