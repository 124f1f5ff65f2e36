import type { Redis } from 'ioredis'

export const SLOTS = 16384

export interface NodeAddress {
  readonly host: string
  readonly port: number
}

/** Maps an address that the cluster announces to one that can be reached from here, as ioredis' option of this name does. */
export type NatMap = Record<string, NodeAddress> | ((key: string) => NodeAddress | null)

export interface SlotRange {
  readonly first: number
  readonly last: number
  /** The primary, then its replicas. */
  readonly nodes: readonly NodeAddress[]
}

/** Who serves which slot, as one node sees it. */
export interface SlotView {
  readonly ranges: readonly SlotRange[]
  /** Grows with every election and every move of slots; null where the user may not ask. */
  readonly epoch: number | null
  /** `cluster_state:ok`. */
  readonly ok: boolean
}

/** The name that ioredis gives a node. */
export function nodeKey ({ host, port }: NodeAddress): string {
  return `${host}:${port}`
}

/** The other way round; the last colon divides, because an IPv6 address has more. */
export function addressOf (key: string): NodeAddress {
  const colon = key.lastIndexOf(':')
  return { host: key.slice(0, colon), port: Number(key.slice(colon + 1)) }
}

/** Asks one node for its view. Without the right to run `CLUSTER INFO` its age is not known. */
export async function readView (client: Redis, asked: NodeAddress, natMap?: NatMap): Promise<SlotView> {
  const info = client.cluster('INFO').then(String, () => '')
  const ranges = await client.cluster('SLOTS') as SlotReply[]
  return { ranges: ranges.map((range) => readRange(range, asked, natMap)), ...readInfo(await info) }
}

type SlotReply = [first: number, last: number, ...nodes: [host: string | null, port: number, ...unknown[]][]]

function readRange ([first, last, ...nodes]: SlotReply, asked: NodeAddress, natMap: NatMap | undefined): SlotRange {
  return {
    first,
    last,
    // Nothing, or a question mark, where the host is not announced: it is the one that was asked.
    nodes: nodes.map(([host, port]) => translate({ host: host === null || host === '' || host === '?' ? asked.host : host, port }, natMap))
  }
}

function readInfo (text: string): Pick<SlotView, 'epoch' | 'ok'> {
  const epoch = /^cluster_current_epoch:(\d+)/m.exec(text)?.[1]
  return { epoch: epoch === undefined ? null : Number(epoch), ok: !/^cluster_state:fail/m.test(text) }
}

export function translate (address: NodeAddress, natMap: NatMap | undefined): NodeAddress {
  const key = nodeKey(address)
  return (typeof natMap === 'function' ? natMap(key) : natMap?.[key]) ?? address
}
