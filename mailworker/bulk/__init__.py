"""A million rows and a template: a group of mails with a plan, progress and a report."""
