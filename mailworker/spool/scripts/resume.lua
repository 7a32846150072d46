-- needs: clock record gates
-- ARGV: -, mailer. Opens a mailer's gate, whoever closed it, and forgets its failures.

for _, field in ipairs({ 'person', 'why', 'failures', 'pause', 'cause', 'probe', 'probe_ends' }) do
  set_gate(ARGV[2], field, nil)
end
redis.call('SADD', P .. 'gates', ARGV[2])
look_again(ARGV[2])
return 1
