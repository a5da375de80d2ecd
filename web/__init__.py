"""Flask: admin, API and pay page. It stores intents and approvals and never opens a connection to a router."""
