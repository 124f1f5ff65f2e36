import { RedisScript } from '../redis-script.ts'

/*
 * A claim is `token:deadline` (server time, epoch ms). The claims on all copies of the same bytes stand in one field, named by the
 * bytes' SHA-1 and separated by spaces, so identical messages are told apart by their number and their tokens.
 */
const SHARED = `
local function now ()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function claim (key, digest, token, deadline)
  local others = redis.call('HGET', key, digest)
  local mine = token .. ':' .. string.format('%.0f', deadline)
  redis.call('HSET', key, digest, others and (others .. ' ' .. mine) or mine)
end
-- The claims without the one of this token, and whether there was one.
local function without (key, digest, token)
  local rest, found = {}, false
  for entry in string.gmatch(redis.call('HGET', key, digest) or '', '%S+') do
    if string.sub(entry, 1, #token + 1) == token .. ':' then found = true else rest[#rest + 1] = entry end
  end
  return rest, found
end
local function keep (key, digest, claims)
  if #claims == 0 then redis.call('HDEL', key, digest) else redis.call('HSET', key, digest, table.concat(claims, ' ')) end
end
-- Moves what is due to the right end of the queue, the earliest rightmost. Members are 'token:body', because equal bytes are not the same message.
local function release (delayed, queue, limit)
  local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now(), 'LIMIT', 0, limit)
  for i = #due, 1, -1 do
    redis.call('RPUSH', queue, string.sub(due[i], string.find(due[i], ':', 1, true) + 1))
    redis.call('ZREM', delayed, due[i])
  end
  return #due
end
local function recovered (key, digest)
  local count, since = string.match(redis.call('HGET', key, digest) or '', '^(%d+):(%d+)$')
  return tonumber(count or 0), tonumber(since or 0)
end
`

/**
 * Moves to processing and claims, in one step. KEYS 1 queue 2 processing 3 claims 4 delayed 5 recoveries. ARGV 1 nonce 2 max 3 visibility.
 * Returns ms until the next delayed message is due (-1: none), then digest, token, body and recoveries of each message.
 */
export const TAKE = new RedisScript('take', `${SHARED}
local max = tonumber(ARGV[2])
release(KEYS[4], KEYS[1], max)
local time, reply = now(), { -1 }
for i = 1, max do
  local body = redis.call('LMOVE', KEYS[1], KEYS[2], 'RIGHT', 'LEFT')
  if not body then break end
  local digest, token = redis.sha1hex(body), ARGV[1] .. '.' .. i
  claim(KEYS[3], digest, token, time + ARGV[3])
  for _, value in ipairs({ digest, token, body, (recovered(KEYS[5], digest)) }) do reply[#reply + 1] = value end
end
local next = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
if next[2] then reply[1] = math.max(0, next[2] - time) end
return reply`)

/**
 * Finds what a take claimed whose reply was lost. KEYS 1 processing 2 claims 3 recoveries. ARGV 1 nonce 2 max 3 visibility 4 the lost
 * take's nonce. Returns as TAKE does, with new tokens. What was taken last lies at the left end of processing.
 */
export const RESUME = new RedisScript('resume', `${SHARED}
local reply, time, count = { -1 }, now(), 0
local bodies = redis.call('LRANGE', KEYS[1], 0, 999)
for i = #bodies, 1, -1 do
  local digest = redis.sha1hex(bodies[i])
  for lost in string.gmatch(redis.call('HGET', KEYS[2], digest) or '', '(%S+):%d+') do
    if count < tonumber(ARGV[2]) and string.sub(lost, 1, #ARGV[4] + 1) == ARGV[4] .. '.' then
      count = count + 1
      local token = ARGV[1] .. '.' .. count
      keep(KEYS[2], digest, (without(KEYS[2], digest, lost)))
      claim(KEYS[2], digest, token, time + ARGV[3])
      for _, value in ipairs({ digest, token, bodies[i], (recovered(KEYS[3], digest)) }) do reply[#reply + 1] = value end
      break
    end
  end
end
return reply`)

/** KEYS 1 claims. ARGV 1 visibility 2… digest, token. Returns 1 or 0 for each: whether it is still ours. */
export const RENEW = new RedisScript('renew', `${SHARED}
local reply, deadline = {}, now() + ARGV[1]
for i = 2, #ARGV, 2 do
  local rest, found = without(KEYS[1], ARGV[i], ARGV[i + 1])
  if found then
    rest[#rest + 1] = ARGV[i + 1] .. ':' .. string.format('%.0f', deadline)
    keep(KEYS[1], ARGV[i], rest)
  end
  reply[#reply + 1] = found and 1 or 0
end
return reply`)

/** The end of every delivery. Until here nothing has been removed, so a refusal for lack of memory leaves everything as it was. */
const REMOVE = `
local rest, found = without(KEYS[2], ARGV[2], ARGV[3])
if not found then return 0 end
local function remove ()
  keep(KEYS[2], ARGV[2], rest)
  redis.call('HDEL', KEYS[3], ARGV[2])
  return redis.call('LREM', KEYS[1], -1, ARGV[1])
end`

/** KEYS 1 processing 2 claims 3 recoveries. ARGV 1 body 2 digest 3 token. */
export const ACKNOWLEDGE = new RedisScript('acknowledge', `${SHARED}${REMOVE}
return remove()`)

/** As ACKNOWLEDGE, and KEYS 4 delayed. ARGV 4 new body 5 delay in ms. */
export const RETRY = new RedisScript('retry', `${SHARED}${REMOVE}
local member = ARGV[3] .. ':' .. ARGV[4]
redis.call('ZADD', KEYS[4], string.format('%.0f', now() + ARGV[5]), member)
if remove() == 1 then return 1 end
redis.call('ZREM', KEYS[4], member)
return 0`)

/** As ACKNOWLEDGE, and KEYS 4 dead letters. ARGV 4 letter. */
export const BURY = new RedisScript('bury', `${SHARED}${REMOVE}
redis.call('LPUSH', KEYS[4], ARGV[4])
if remove() == 1 then return 1 end
redis.call('LPOP', KEYS[4])
return 0`)

/** KEYS 1 queue 2 processing 3 claims. ARGV body, digest, token of each, oldest first. Returns how many were still ours. */
export const HAND_BACK = new RedisScript('hand back', `${SHARED}
local count = 0
for i = #ARGV - 2, 1, -3 do
  local rest, found = without(KEYS[3], ARGV[i + 1], ARGV[i + 2])
  if found and redis.call('LREM', KEYS[2], -1, ARGV[i]) == 1 then
    redis.call('RPUSH', KEYS[1], ARGV[i])
    count = count + 1
  end
  if found then keep(KEYS[3], ARGV[i + 1], rest) end
end
return count`)

/** Moves everything from processing to the right end of the queue, in its old order. KEYS 1 queue 2 processing 3 claims 4 first seen. ARGV 1 limit. */
export const SEIZE = new RedisScript('seize', `
local count = 0
while count < tonumber(ARGV[1]) and redis.call('LMOVE', KEYS[2], KEYS[1], 'LEFT', 'RIGHT') do count = count + 1 end
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('DEL', KEYS[3], KEYS[4]) end
return count`)

/** What RECOVER and the migration from untagged lists need. */
export const PREAMBLE = SHARED
