-- needs: clock stream outcomes record shelf gates
-- ARGV: retention, id, token, lease, slot or "".
-- Returns 1 if the lease is still in force.

local mail = find(ARGV[2], true)
local fine = 0
if mail and state_of(mail) == LEASED and mail.head.t == ARGV[3] then
  extend(mail, now + tonumber(ARGV[4]), ARGV[5])
  fine = 1
end
write_counts()
return fine
