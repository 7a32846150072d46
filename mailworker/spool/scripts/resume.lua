-- needs: clock stream outcomes record gates
-- ARGV: -, mailer. Opens a mailer's gate, whoever closed it, and forgets its failures.

redis.call('HDEL', P .. 'gate:' .. ARGV[2], 'person', 'why', 'failures', 'pause', 'cause', 'probe', 'probe_ends')
redis.call('SADD', P .. 'gates', ARGV[2])
look_again(ARGV[2], now)
return 1
