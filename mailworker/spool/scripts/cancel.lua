-- needs: clock stream outcomes record shelf
-- ARGV: retention, id. Returns 1 if the mail was due or held and is cancelled now, -1 if its record cannot
-- be read.

local mail, broken = find(ARGV[2])
local fine = broken and -1 or 0
if mail and (state_of(mail) == DUE or state_of(mail) == HELD) then
  take_lapse(mail)
  finish(mail, 'cancelled')
  save(mail)
  fine = 1
end
write_counts()
return fine
