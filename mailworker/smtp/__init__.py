"""The wire: bytes and envelopes over one SMTP connection. It knows no messages, no settings and no queue."""
