"""One case, by its address: ?case=ID&casebook=NAME."""

from explorer.widgets.case_view import case_page
from explorer.widgets.shell import active_casebook

case_page(active_casebook())
