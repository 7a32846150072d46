-- needs: clock stream outcomes record shelf sweep
-- ARGV: retention, id. Returns 1 if the mail was dead and is gone now, -1 if its record cannot be read.

local mail, broken = find(ARGV[2])
local fine = broken and -1 or 0
if mail and state_of(mail) == DEAD then
  remove(mail)
  fine = 1
end
write_counts()
return fine
