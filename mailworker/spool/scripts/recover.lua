-- needs: clock record gates
-- ARGV: -, mailer. Forgets a mailer's failures and ends its breaker's pause.

for _, field in ipairs({ 'failures', 'pause', 'cause', 'probe', 'probe_ends' }) do
  set_gate(ARGV[2], field, nil)
end
look_again(ARGV[2])
return 1
