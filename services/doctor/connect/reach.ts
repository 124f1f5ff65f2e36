import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { connect, isIP } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import type { RedisTarget } from '../../config/redis/redis-target.ts'
import { StepFailure, within } from './steps.ts'
import type { Outcome } from './steps.ts'

const DAY_MS = 86_400_000
const SOON_DAYS = 14

export interface Reaching { target: RedisTarget, timeoutMs: number, ca: Buffer | undefined }

/** Asks the resolver of this machine, as the client does. */
export async function resolveHost ({ target, timeoutMs }: Reaching): Promise<Outcome> {
  const host = target.host!
  if (isIP(host) !== 0) return { state: 'ok', detail: `${host} is an address already` }
  const late = () => new StepFailure(`${host} was not resolved within ${timeoutMs} ms`, 'Check the resolver of this machine; in a VPC, enableDnsSupport and enableDnsHostnames.')
  const addresses = await within(timeoutMs, lookup(host, { all: true }), late).catch((err: NodeJS.ErrnoException) => {
    throw err instanceof StepFailure ? err : new StepFailure(`${host} does not resolve (${err.code})`, 'Check the host name; names of ElastiCache resolve inside their VPC only where it is private.')
  })
  return { state: 'ok', detail: addresses.map(({ address }) => address).join(', ') }
}

export async function openSocket (reaching: Reaching): Promise<Outcome> {
  const socket = await connected(reaching)
  const { remoteAddress, remotePort } = socket
  socket.destroy()
  return { state: 'ok', detail: remoteAddress === undefined ? `${reaching.target.path}` : `${remoteAddress} port ${remotePort}` }
}

async function connected ({ target, timeoutMs }: Reaching): Promise<Socket> {
  const { path, host, port } = target
  const socket = path !== null ? connect({ path }) : connect({ host: host!, port: port! })
  const place = path ?? `port ${port} of ${host}`
  const late = () => new StepFailure(`${place} does not answer within ${timeoutMs} ms`, 'Nothing came back, not even a refusal: a security group, a route or a network ACL drops the packets.')
  try {
    await within(timeoutMs, once(socket, 'connect'), late)
    socket.on('error', () => {})
    return socket
  } catch (err) {
    socket.on('error', () => {}).destroy()
    if (err instanceof StepFailure) throw err
    const { code = 'ECONNECTION' } = err as NodeJS.ErrnoException
    throw new StepFailure(`${place} cannot be connected (${code})`, code === 'ECONNREFUSED' ? 'Nothing listens there: check host and port, and whether the cache is running.' : 'Check host, port and network.')
  }
}

/** The handshake and the certificate, as the client will see them. */
export async function shakeHands (reaching: Reaching): Promise<Outcome> {
  const socket = await secured(reaching, true).catch(async (err: NodeJS.ErrnoException) => {
    if (err instanceof StepFailure) throw await isPlain(reaching) ? plainServer() : err
    throw await tlsFailure(reaching, err.code ?? 'ECONNECTION')
  })
  const { subject, valid_to: until } = socket.getPeerCertificate()
  const daysLeft = Math.floor((Date.parse(until) - Date.now()) / DAY_MS)
  const detail = `${socket.getProtocol()}, certificate of ${subject.CN ?? 'unnamed'}, valid for ${daysLeft} more days`
  socket.destroy()
  return daysLeft < SOON_DAYS ? { state: 'warning', detail, remedy: 'Renew the certificate.' } : { state: 'ok', detail }
}

async function secured (reaching: Reaching, verify: boolean): Promise<TLSSocket> {
  const { target: { host }, timeoutMs, ca } = reaching
  const plain = await connected(reaching)
  const socket = connectTls({ socket: plain, ...isIP(host!) === 0 ? { servername: host! } : { host: host! }, rejectUnauthorized: verify, ...ca === undefined ? {} : { ca } })
  try {
    await within(timeoutMs, once(socket, 'secureConnect'), () => new StepFailure(`the handshake did not end within ${timeoutMs} ms`, 'Something accepts connections there and does not answer: a frozen server, or none that speaks TLS.'))
    socket.on('error', () => {})
    return socket
  } catch (err) {
    socket.on('error', () => {}).destroy()
    plain.destroy()
    throw err
  }
}

async function tlsFailure (reaching: Reaching, code: string): Promise<StepFailure> {
  if (await isPlain(reaching)) return plainServer()
  return new StepFailure(`the TLS handshake failed (${code})`, tlsRemedy(code))
}

function tlsRemedy (code: string): string {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'The certificate is for another name: use the host name that it was made for.'
  if (/SELF_SIGNED|UNABLE_TO|ISSUER|SIGNATURE/.test(code)) return 'The certificate is not signed by anybody who is trusted here: REDIS_TLS_CA_FILE names the authority, or it is the wrong one.'
  if (code.startsWith('CERT_')) return 'The certificate is not valid now: renew it, or correct the clock.'
  return 'Check that the server speaks TLS 1.2 or newer, and that REDIS_TLS_CA_FILE is a PEM file.'
}

function plainServer (): StepFailure {
  return new StepFailure('the server speaks no TLS', 'Use redis://, or REDIS_TLS_ENABLED=false; better, switch encryption in transit on.')
}

/** Whether Redis answers here without TLS; it says so also to strangers. */
async function isPlain (reaching: Reaching): Promise<boolean> {
  const socket = await connected(reaching).catch(() => null)
  if (socket === null) return false
  try {
    socket.write('PING\r\n')
    const [reply] = await within(reaching.timeoutMs, once(socket, 'data'), () => new Error('silent')) as [Buffer]
    return /^[+-]/.test(reply.toString('latin1', 0, 1))
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Whether the server, which did not understand us, speaks TLS. */
export async function speaksTls (reaching: Reaching): Promise<boolean> {
  try {
    (await secured(reaching, false)).destroy()
    return true
  } catch {
    return false
  }
}
