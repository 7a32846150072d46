-- needs: clock stream outcomes record shelf sweep gates window admission claims
-- ARGV: retention, limit, lease, token, mailer or "", limits and known mailers (JSON), slot or "", lane...
-- Returns now, seconds to the next mail or "", ids lost, ids unreadable, then id, token, doubt and record of each mail.

local limit, lease, token, only = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local slot, first_lane = ARGV[7], 8

tidy(64 + limit)

local wanted = {}

local function is_wanted(lane, mailer)
  return wanted[lane] and (only == '' or only == mailer) and is_known(mailer)
end

for i = first_lane, #ARGV do
  wanted[ARGV[i]] = {}
end
for _, row in ipairs(redis.call('ZRANGEBYSCORE', P .. 'soon', '-inf', stamp(now))) do
  local lane, mailer = string.match(row, '^([^/]*)/(.*)$')
  if is_wanted(lane, mailer) then
    table.insert(wanted[lane], mailer)
  end
end

-- For each lane that has work behind open gates, the mailer whose turn it is.
local found = {}
for i = first_lane, #ARGV do
  local mailers = wanted[ARGV[i]]
  if #mailers > 1 then
    local turns = {}
    for _, mailer in ipairs(mailers) do
      turns[mailer] = tonumber(redis.call('ZSCORE', P .. 'mailers', mailer) or 0)
    end
    table.sort(mailers, function(one, other)
      return turns[one] < turns[other] or (turns[one] == turns[other] and one < other)
    end)
  end
  for _, mailer in ipairs(mailers) do
    local row = ARGV[i] .. '/' .. mailer
    local limits = limits_of(mailer)
    if gate_wait(mailer, limits) <= 0 and seat_wait(mailer, limits, slot) <= 0 then
      end_lapsed(row, 1000, lost, unreadable)
      if ready(mailer, row, limits) then
        found[#found + 1] = { mailer, row }
        break
      end
    end
  end
end
if #found == 1 then
  redis.call('DEL', P .. 'contested')
elseif #found > 1 and redis.call('INCR', P .. 'contested') == STARVATION_GUARD then
  redis.call('DEL', P .. 'contested')
  local last = #found
  for i = 1, math.floor(last / 2) do
    found[i], found[last + 1 - i] = found[last + 1 - i], found[i]
  end
end

for _, one in ipairs(found) do
  fill(one[1], one[2], limit, lease, token)
  if #leased > 0 then
    if limits_of(one[1]).sessions then
      -- One that lasts longer stays: it is of an earlier claim.
      redis.call('ZADD', P .. 'sessions:' .. one[1], 'GT', stamp(now + lease), slot)
    end
    break
  end
end

-- The rows that were looked at are told anew when to look at them; of the others that is known already. That a slot has no
-- seat is its own affair: for those that have one there may be something at once.
local next_at = endings_left <= 0 and now or NEVER
for i = first_lane, #ARGV do
  for _, mailer in ipairs(wanted[ARGV[i]]) do
    if next_at <= now then
      break
    end
    local row = ARGV[i] .. '/' .. mailer
    local at = row_time(mailer, row)
    if at then
      redis.call('ZADD', P .. 'soon', stamp(at), row)
      next_at = math.min(next_at, math.max(at, now + seat_wait(mailer, limits_of(mailer), slot)))
    else
      redis.call('ZREM', P .. 'soon', row)
    end
  end
end
if next_at > now then
  local later = redis.call('ZRANGEBYSCORE', P .. 'soon', '(' .. stamp(now), '+inf', 'WITHSCORES')
  for i = 1, #later, 2 do
    local lane, mailer = string.match(later[i], '^([^/]*)/(.*)$')
    if is_wanted(lane, mailer) then
      next_at = math.min(next_at, tonumber(later[i + 1]))
      break
    end
  end
end

if turn then
  redis.call('SET', P .. 'turn', turn)
end
write_rates()
write_counts()

local answer = { stamp(now), next_at < NEVER and stamp(next_at - now) or '', lost, unreadable, endings }
for _, mail in ipairs(leased) do
  table.insert(answer, { mail.id, mail.head.t, mail.head.b or 0, mail.record })
end
return answer
