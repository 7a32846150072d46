-- needs: clock record shelf
-- ARGV: retention, id. Returns 1 if the mail was dead and is gone now.

local mail = find(ARGV[2])
local fine = 0
if mail and state_of(mail) == DEAD then
  remove(mail)
  fine = 1
end
write_counts()
return fine
