-- needs: clock stream outcomes record gates
-- ARGV: -, mailer, reason, seconds... Counts a trouble with the mailer's relay, unless a pause is running; returns until
-- when it pauses.

local mailer = ARGV[2]
local gate = gate_of(mailer)
redis.call('SADD', P .. 'gates', mailer)
set_gate(mailer, 'cause', ARGV[3])
if not (gate.pause and tonumber(gate.pause) > now) then
  local failures = tonumber(gate.failures or 0) + 1
  set_gate(mailer, 'failures', failures)
  local ends = now + tonumber(ARGV[3 + math.min(failures, #ARGV - 3)])
  set_gate(mailer, 'pause', stamp(ends))
  -- The probe that the rows waited for may have had a longer lease than this pause.
  look_again(mailer, ends)
  set_gate(mailer, 'probe', nil)
  set_gate(mailer, 'probe_ends', nil)
end
return gate_of(mailer).pause
