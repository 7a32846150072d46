-- needs: clock stream outcomes record shelf
-- ARGV: retention, id. Returns 1 if a dead or held mail is due again now, -1 if its record cannot be read. What was accepted is
-- kept, the rest of its ledger is new.

local mail, broken = find(ARGV[2])
local fine = broken and -1 or 0
if mail and (state_of(mail) == DEAD or state_of(mail) == HELD) then
  local head = mail.head
  if state_of(mail) == DEAD and class_of_row(head) == 'r' then
    -- It is none of the rejected ones that stop its bulk any more: if it is rejected again, it counts once.
    redis.call('RPOP', P .. 'bounces:' .. head.g)
  end
  local kept
  for recipient, outcome in pairs(head.out or {}) do
    if string.sub(outcome, 1, 1) == 'a' then
      kept = kept or {}
      kept[recipient] = outcome
    end
  end
  head.out, head.a, head.a1, head.n, head.p, head.r, head.u = kept, nil, nil, nil, nil, nil, nil
  head.t, head.y, head.k, head.z, head.b = nil, nil, nil, nil, nil
  head.d = stamp(now)
  if head.g then
    local epoch = epoch_of(head.g)
    head.o = epoch > 0 and epoch or nil
  end
  make_due(mail, now)
  save(mail)
  fine = 1
end
write_counts()
return fine
