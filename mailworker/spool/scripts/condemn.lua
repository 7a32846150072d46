-- needs: clock stream outcomes record shelf sweep
-- ARGV: retention, id, row, stream, state, entry in the list of what is finished or "", reason. Puts right a mail that an
-- index names, if its record is gone or cannot be used. With row "" the mail is where its own record says, and the reason
-- tells why whoever asks cannot read it. Returns 1 if it is a dead letter now.

local id, row, stream, state, entry, reason = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local unreadable = {}
local mail = loaded(id)

local by_itself = row == '' and mail and not mail.broken
if by_itself then
  row, stream, state = mail.row, mail.stream, state_of(mail)
  if mail.head.f then
    entry = finished_entry(mail)
  end
  mail = { payload = redis.call('GET', P .. 'm:' .. id), broken = reason, contents = mail.head.x }
end
-- Whether the index still has it: it may have moved on since somebody looked.
local stands = false
if entry ~= '' then
  -- Who is finished and gone is for `tidy`.
  local _, broken = find(id)
  stands = (broken or by_itself) and redis.call('LREM', P .. 'finished', 1, entry) == 1
elseif row ~= '' then
  stands = score_of(as_placed(id, row, stream, state))
end
if stands then
  at_its_place(mail, id, row, stream, state, nil, unreadable)
  write_counts()
end
return #unreadable
