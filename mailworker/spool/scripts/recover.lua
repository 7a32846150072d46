-- needs: clock stream outcomes record gates
-- ARGV: -, mailer. Forgets a mailer's failures and ends its breaker's pause.

if redis.call('HDEL', P .. 'gate:' .. ARGV[2], 'failures', 'pause', 'cause', 'probe', 'probe_ends') > 0 then
  look_again(ARGV[2], now)
end
return 1
