import type { Call } from './account.ts'
import type { Fault } from './faults.ts'
import type { Situation } from './situations.ts'
import type { Subject } from './subject.ts'
import type { Topology, World } from './worlds.ts'

/** What docs/redis-client.md promises, as data. Codes are written without `FST_BRK_` and `REDIS_`. */
export interface Expectation {
  /** What was on its way may end with, besides being answered. */
  first: readonly string[]
  /** What comes later may end with, besides being answered. */
  later: readonly string[]
  /** `guard.lastError.kind` at some time in the outage; null: it never knows of an error. */
  kinds: readonly (string | null)[]
  /** Of a call that waits on the server for ever. */
  blocked: 'ends' | 'survives' | 'either'
  /** What fails while it lasts. */
  fails: readonly ('read' | 'write')[]
  /** It fails until the end; otherwise the guard finds a way around. */
  lasts: boolean
}

const both = ['read', 'write'] as const
const refusals = ['NOT_CONNECTED', 'CIRCUIT_OPEN']
const unanswered = ['TIMEOUT', 'CONNECTION_LOST']

const cut: Expectation = { first: ['CONNECTION_LOST'], later: [...refusals, 'CONNECTION_LOST'], kinds: ['transport'], blocked: 'ends', fails: both, lasts: true }
const dead: Expectation = { first: unanswered, later: [...refusals, ...unanswered], kinds: ['timeout'], blocked: 'ends', fails: both, lasts: true }
const answered = (code: string, more: Partial<Expectation> = {}): Expectation => ({ first: [code], later: [...refusals, code], kinds: ['overload'], blocked: 'survives', fails: both, lasts: true, ...more })
const refusedAtLogin = (kind: string): Expectation => ({ ...cut, first: ['CONNECTION_LOST', 'NOT_CONNECTED'], kinds: [kind] })
const loggedOut: Expectation = { ...refusedAtLogin('auth'), first: ['CONNECTION_LOST', 'NOT_CONNECTED', 'AUTH'] }
const brief: Expectation = { first: ['CONNECTION_LOST'], later: [...refusals, 'CONNECTION_LOST'], kinds: ['transport', null], blocked: 'either', fails: [], lasts: false }

export const expectations: Readonly<Record<string, Expectation & Partial<Record<Topology, Partial<Expectation>>>>> = {
  refused: cut,
  reset: cut,
  'black hole': dead,
  'replies lost': dead,
  'requests lost': dead,
  late: { ...dead, blocked: 'either' },
  'accepts, silent': { ...cut, kinds: ['timeout', 'transport'] },
  'accepts, closes': cut,
  'slow drip': { ...dead, blocked: 'either' },
  garbage: { ...cut, later: [...cut.later, ...unanswered], blocked: 'either' },
  'one reply lost': brief,
  'these connections dead': { ...brief, first: unanswered, later: [...refusals, ...unanswered], kinds: ['timeout', null], fails: both },
  killed: {
    ...cut,
    first: ['CONNECTION_LOST', 'NOT_CONNECTED'],
    // CLUSTERDOWN, from a node that was started just now.
    cluster: { later: [...refusals, 'CONNECTION_LOST', 'OVERLOADED'], kinds: ['transport', 'overload'] }
  },
  frozen: dead,
  // What is on its way while the server starts may reach its deadline.
  LOADING: answered('OVERLOADED', { first: ['OVERLOADED', 'CONNECTION_LOST', 'NOT_CONNECTED', 'TIMEOUT'], blocked: 'ends' }),
  'READONLY by failover': {
    ...answered('OVERLOADED', { first: ['OVERLOADED', ...unanswered], later: [...refusals, 'OVERLOADED', ...unanswered], blocked: 'ends', fails: [] }),
    // It is redirected, and its time may be over by then.
    cluster: { first: [...unanswered, 'OVERLOADED', 'NOT_SENT'], kinds: [null, 'overload', 'configuration', 'transport', 'timeout'], blocked: 'either' },
    // The sentinels take a while, and connections are cut.
    sentinel: { first: ['OVERLOADED', ...unanswered], later: [...refusals, 'OVERLOADED', ...unanswered], kinds: ['overload', 'transport', 'timeout', null] }
  },
  OOM: answered('OVERLOADED', { fails: ['write'] }),
  MISCONF: answered('OVERLOADED', { fails: ['write'] }),
  NOREPLICAS: answered('OVERLOADED', { fails: ['write'] }),
  // A call that waits is not answered in time: the server does not look at the clock.
  BUSY: answered('OVERLOADED', { later: [...refusals, 'OVERLOADED', 'TIMEOUT'] }),
  'max clients': { ...refusedAtLogin('overload'), kinds: ['overload', 'transport'] },
  WRONGPASS: loggedOut,
  'user removed': loggedOut,
  'command forbidden': answered('CONFIGURATION', { kinds: [null], fails: ['write'] }),
  'TLS: unknown authority': refusedAtLogin('configuration'),
  'TLS: expired': refusedAtLogin('configuration'),
  'TLS: plain server': { ...refusedAtLogin('configuration'), kinds: ['configuration', 'transport', 'timeout'] },
  'DNS: unknown name': cut,
  'DNS: another address': cut
}

/** Where a transaction was refused at one of its commands, the server answers EXEC with EXECABORT, which is a reply like another. */
const aborted: Readonly<Record<string, readonly string[]>> = { MULTI: ['REPLY'] }

export interface Observation {
  world: World
  fault: Fault
  situation: Situation
  subject: Subject
  calls: readonly Call[]
  launched: readonly Call[]
  during: readonly Call[]
  kinds: ReadonlySet<string | null>
}

export function expectationOf (fault: string, topology: Topology): Expectation {
  const expected = expectations[fault]!
  return { ...expected, ...expected[topology] }
}

export function compareWithExpectation ({ world, fault, situation, subject, calls, launched, during, kinds }: Observation): string[] {
  const expected = expectationOf(fault.name, world.topology)
  const firstCodes = new Set([...expected.first, ...aborted[situation.name] ?? []])
  const codes = new Set([...expected.later, ...firstCodes])
  const problems: string[] = []
  for (const { failure, what } of launched) {
    if (failure !== null && !firstCodes.has(failure.code)) problems.push(`unexpected: ${what}, on its way, failed with ${failure.code} (${failure.message})`)
  }
  for (const { failure, what } of calls) {
    if (failure !== null && !codes.has(failure.code)) problems.push(`unexpected: ${what} failed with ${failure.code} (${failure.message})`)
  }
  for (const what of expected.fails) {
    const calls = during.filter((call) => call.what === `a ${what}`)
    if (!calls.some(({ failure }) => failure !== null)) problems.push(`unexpected: no ${what} failed while it lasted`)
    if (expected.lasts && calls.at(-1)?.failure === null) problems.push(`unexpected: a ${what} succeeded while it lasted`)
  }
  if (!expected.kinds.some((kind) => kinds.has(kind))) problems.push(`unexpected: the guard says that it is ${[...kinds]}`)
  if (subject.blocked.length > 0 && expected.blocked !== 'either' && subject.blockedAtEnd !== (expected.blocked === 'ends')) {
    problems.push(`unexpected: a call that waits for ever ${subject.blockedAtEnd ? 'ended' : 'did not end'}`)
  }
  return problems
}
