"""Why the system says what it says of the query, or of a case: ?case=ID&with=ID&finding=LABEL."""

from explorer.widgets.explain_view import explain_page
from explorer.widgets.shell import active_casebook

explain_page(active_casebook())
