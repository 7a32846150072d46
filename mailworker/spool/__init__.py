"""The durable queue: its port (`base`), the record that it keeps (`record`) and its implementations."""
