-- What holds back the mails of a mailer: a person's pause, the breaker, its rates and the limits of its domains.
-- The rules are those of `gates.py`, `breaker.py` and `rate.py`.

local LATENESS, TICK = 0.05, 0.000001
local NEVER = math.huge

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

local function rate_wait(full_at, rate, burst)
  local left = (full_at or -NEVER) - (burst - 1) / rate - now
  return left > TICK and left or 0
end

local function rate_taken(full_at, rate)
  local interval = 1 / rate
  return math.max(full_at or -NEVER, now - math.min(interval / 2, LATENESS)) + interval
end

-- Seconds until the mailer's gate may let a mail pass: 0 now, infinity only by a person's word.
local function gate_wait(mailer, limits)
  local gate = gate_of(mailer)
  if gate.person then
    return NEVER
  end
  local wait = 0
  if tonumber(gate.failures or 0) > 0 then
    if tonumber(gate.pause or 0) > now then
      wait = tonumber(gate.pause) - now
    elseif gate.probe and tonumber(gate.probe_ends) > now then
      wait = tonumber(gate.probe_ends) - now
    end
  end
  if limits.rate then
    wait = math.max(wait, rate_wait(tonumber(gate.full), limits.rate, limits.burst))
  end
  return wait
end

-- Seconds until a capped domain may take a mail; a lease that ends early makes it less.
local function domain_wait(mailer, domain, limits)
  local wait = 0
  local rate, seats = limits.domain_rate[domain], limits.domain_concurrency[domain]
  if rate then
    wait = rate_wait(tonumber(redis.call('HGET', P .. 'domain:' .. mailer, domain) or nil), rate, 1)
  end
  if seats then
    local taken = P .. 'seats:' .. mailer .. ':' .. domain
    redis.call('ZREMRANGEBYSCORE', taken, '-inf', stamp(now))
    if redis.call('ZCARD', taken) >= seats then
      local first = redis.call('ZRANGE', taken, 0, 0, 'WITHSCORES')
      wait = math.max(wait, tonumber(first[2]) - now)
    end
  end
  return wait
end

-- Lets one mail pass all gates, or none; tells whether it passed, and whether it is the probe.
local function admit(mailer, domain, limits, token, ends)
  if gate_wait(mailer, limits) > 0 then
    return false
  end
  if domain ~= '' then
    if domain_wait(mailer, domain, limits) > 0 then
      return false
    end
    local rate = limits.domain_rate[domain]
    if rate then
      local full = tonumber(redis.call('HGET', P .. 'domain:' .. mailer, domain) or nil)
      redis.call('HSET', P .. 'domain:' .. mailer, domain, exact(rate_taken(full, rate)))
    end
    if limits.domain_concurrency[domain] then
      redis.call('ZADD', P .. 'seats:' .. mailer .. ':' .. domain, stamp(ends), token)
    end
  end
  local gate = gate_of(mailer)
  if limits.rate then
    set_gate(mailer, 'full', exact(rate_taken(tonumber(gate.full), limits.rate)))
  end
  if tonumber(gate.failures or 0) > 0 then
    set_gate(mailer, 'probe', token)
    set_gate(mailer, 'probe_ends', stamp(ends))
    return true, true
  end
  return true, false
end

-- The mailer's rows have to be looked at again: one of its gates may have opened.
local function look_again(mailer)
  for _, lane in ipairs({ 'high', 'normal', 'bulk' }) do
    local row = lane .. '/' .. mailer
    if redis.call('EXISTS', P .. 'streams:' .. row) == 1 then
      redis.call('ZADD', P .. 'soon', 'LT', stamp(now), row)
    end
  end
end

-- Makes what a lease holds of the gates last as long as the lease.
local function extend_gates(mail, ends)
  local head = mail.head
  if head.pb and gate_of(head.m).probe == head.t then
    set_gate(head.m, 'probe_ends', stamp(ends))
  end
  if head.cd then
    redis.call('ZADD', P .. 'seats:' .. head.m .. ':' .. head.cd, 'XX', stamp(ends), head.t)
  end
end

-- Gives back what a lease held; `unsent` also what it took from the rates (of the mailer, of the domain).
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
  if opened_one then
    look_again(head.m)
  end
end
