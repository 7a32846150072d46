-- The gate of a mailer, and what a lease holds of it. The rules are those of `gates.py`, `breaker.py` and `rate.py`.

local gates = {}

local function gate_of(mailer)
  local gate = gates[mailer]
  if not gate then
    gate = {}
    local known = redis.call('HGETALL', P .. 'gate:' .. mailer)
    for i = 1, #known, 2 do
      gate[known[i]] = known[i + 1]
    end
    gates[mailer] = gate
  end
  return gate
end

local function set_gate(mailer, field, value)
  gate_of(mailer)[field] = value
  if value == nil then
    redis.call('HDEL', P .. 'gate:' .. mailer, field)
  else
    redis.call('HSET', P .. 'gate:' .. mailer, field, value)
  end
end

local function exact(number)
  return string.format('%.17g', number)
end

-- The mailer's rows have to be looked at again at this time: one of its gates may have opened. Also those of which all mails are
-- leased: while a person keeps the gate shut nobody looks at them, and their workers may have died.
local function look_again(mailer, at)
  for _, lane in ipairs({ 'high', 'normal', 'bulk' }) do
    local row = lane .. '/' .. mailer
    if redis.call('EXISTS', P .. 'streams:' .. row, P .. 'leases:' .. row) > 0 then
      redis.call('ZADD', P .. 'soon', 'LT', stamp(at), row)
    end
  end
end

-- Makes a lease, and what it holds of the gates, last until then. It may be sooner than whoever looks has been told. The seat
-- of its slot (or "") lasts at least as long.
local function extend(mail, ends, slot)
  local head = mail.head
  redis.call('ZADD', P .. 'leases:' .. mail.row, stamp(ends), lease_name(mail))
  if head.pb and gate_of(head.m).probe == head.t then
    set_gate(head.m, 'probe_ends', stamp(ends))
  end
  if head.cd then
    redis.call('ZADD', P .. 'seats:' .. head.m .. ':' .. head.cd, 'XX', stamp(ends), head.t)
  end
  if slot ~= '' then
    redis.call('ZADD', P .. 'sessions:' .. head.m, 'XX', 'GT', stamp(ends), slot)
  end
  if ends < mail.at then
    sooner(mail.row, ends)
    if head.pb or head.cd then
      look_again(head.m, ends)
    end
  end
end

-- Gives back what an unsent mail took from its group's rate.
local function refund_group(mail)
  local of_group = redis.call('HMGET', P .. 'group:' .. mail.head.g, 'rate', 'full')
  if of_group[1] and of_group[2] then
    redis.call('HSET', P .. 'group:' .. mail.head.g, 'full', exact(tonumber(of_group[2]) - 1 / tonumber(of_group[1])))
    redis.call('ZADD', P .. 'waiting:' .. mail.row, 'XX', 'LT', stamp(now), mail.stream)
    return true
  end
  return false
end

-- Gives back what a lease held; `unsent` also what it took from the rates (of the mailer, of the domain, of the group).
local function leave_gates(mail, unsent, rate, domain_rate)
  local head = mail.head
  local opened_one = false
  if head.pb then
    if gate_of(head.m).probe == head.t then
      set_gate(head.m, 'probe', nil)
      opened_one = true
    end
    head.pb = nil
  end
  if unsent and rate then
    local full = tonumber(gate_of(head.m).full)
    if full then
      set_gate(head.m, 'full', exact(full - 1 / rate))
      opened_one = true
    end
  end
  if head.cd then
    redis.call('ZREM', P .. 'seats:' .. head.m .. ':' .. head.cd, head.t)
    opened_one = true
    if unsent and domain_rate then
      local full = tonumber(redis.call('HGET', P .. 'domain:' .. head.m, head.cd) or nil)
      if full then
        redis.call('HSET', P .. 'domain:' .. head.m, head.cd, exact(full - 1 / domain_rate))
      end
    end
  end
  if unsent and head.g and refund_group(mail) then
    opened_one = true
  end
  if opened_one then
    look_again(head.m, now)
  end
end
