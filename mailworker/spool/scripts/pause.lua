-- needs: clock stream outcomes record gates
-- ARGV: -, mailer, reason. Closes a mailer's gate until a person opens it.

redis.call('SADD', P .. 'gates', ARGV[2])
set_gate(ARGV[2], 'person', 1)
set_gate(ARGV[2], 'why', ARGV[3])
return 1
