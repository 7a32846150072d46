-- needs: clock record shelf sweep
-- ARGV: retention, id, row, stream, state, reason. Puts right a mail that an index names (or "" and "": that its own record
-- names), if its record is gone, cannot be read here, or cannot be read by who asks, who gives the reason then ("" = it can).
-- Returns 1 if it is a dead letter now.

local id, row, stream, state, reason = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

-- Whether the index still has it: it may have moved on since somebody looked.
local function stands(mail)
  if state == DUE then
    return redis.call('ZSCORE', P .. 'due:' .. row .. ':' .. stream, id)
  elseif state == LEASED then
    return redis.call('ZSCORE', P .. 'leases:' .. row, lease_name(mail))
  elseif state == HELD or state == DEAD then
    return redis.call('ZSCORE', P .. state, place_name(mail))
  end
  return true
end

local mail = loaded(id)
if row == '' and mail and not mail.broken then
  row, stream, state = mail.row, mail.stream, state_of(mail)
end
local unreadable = {}
if row ~= '' and stands({ id = id, row = row, stream = stream }) then
  if mail and not mail.broken and reason ~= '' then
    mail = { id = id, payload = redis.call('GET', P .. 'm:' .. id), broken = reason, contents = mail.head.x }
  end
  at_its_place(mail, id, row, stream, state, nil, unreadable)
  write_counts()
end
return #unreadable
