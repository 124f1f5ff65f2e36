import t from 'tap'
import { categoryOf, isWrite } from '../../../services/redis/retry/category.ts'
import type { Category } from '../../../services/redis/retry/category.ts'

const examples: Record<Category, string[]> = {
  read: ['get key', 'GET key', 'mget a b', 'hgetall key', 'scan 0', 'zrange z 0 -1', 'eval_ro script 0', 'xrange s - +', 'ping', 'info', 'sort_ro key', 'exists key'],
  idempotent: ['set key value', 'SET key value', 'set nx xx', 'set key value EX 10', 'del key', 'hset h field nx', 'expire key 10', 'sadd s a', 'zadd z 1 a', 'mset a 1 b 2'],
  write: ['set key value NX', 'set key value px 5 xx', 'set key value GET', 'zadd z INCR 1 a', 'incr key', 'lpush list a', 'append key x', 'setnx key value', 'getdel key', 'hincrby h f 1', 'xadd s * f v',
    'evalsha sha 0', 'eval script 0', 'publish channel message', 'rpoplpush a b', 'rename a b', 'spop s'],
  never: ['blpop list 0', 'xread BLOCK 0 STREAMS s $', 'xreadgroup GROUP g c STREAMS s >', 'subscribe c', 'multi', 'exec', 'watch key', 'select 1', 'auth token', 'client list', 'flushall', 'shutdown', 'wait 1 0',
    'config set a b', 'quit', 'a.command.nobody.knows key']
}

function command (text: string): { name: string, args: string[] } {
  const [name, ...args] = text.split(' ')
  return { name: name!, args }
}

t.test('R3.5 each command has a category that says what a second execution would do', async t => {
  for (const [category, texts] of Object.entries(examples)) {
    for (const text of texts) t.equal(categoryOf(command(text)), category, text)
  }
  t.equal(categoryOf({ name: 'set', args: ['key', Buffer.from('NX')] }), 'idempotent', 'a value is never taken for a word')
})

t.test('R3.4 what Redis refuses where it refuses writes', async t => {
  for (const text of ['set', 'SET', 'del', 'lpush', 'incr', 'evalsha', 'multi', 'blpop', 'xreadgroup']) t.ok(isWrite(command(text)), text)
  for (const text of ['get', 'ping', 'subscribe', 'publish', 'xread', 'scan', 'unheard.of']) t.notOk(isWrite(command(text)), text)
})
