"""`python -m mailworker.demo.fake_broker`: a Redis in pure Python and in memory, for machines that have none.

Its first line of output tells the port. It ends with SIGTERM. Good enough to show a queue, and for nothing that has to last.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Serve on a free port of 127.0.0.1."""
    from fakeredis import TcpFakeServer

    server = TcpFakeServer(("127.0.0.1", 0))
    # Each reply is a small packet: with Nagle's algorithm every other one waits 40 ms for a delayed ACK.
    server.RequestHandlerClass.disable_nagle_algorithm = True
    server.daemon_threads = True
    sys.stdout.write(f"listening on 127.0.0.1:{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
