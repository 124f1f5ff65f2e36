import type { Redis } from 'ioredis'
import type { ClusterCircuit } from './cluster-circuit.ts'
import type { ClusterInternals, NodeRole } from './cluster-internals.ts'
import type { ClusterNode } from './cluster-node.ts'
import { SLOTS, addressOf, nodeKey } from './slot-view.ts'
import type { SlotView } from './slot-view.ts'

/** Writes views into the tables that ioredis routes by, and keeps its pool of nodes in step with them. */
export class SlotTable {
  readonly #internals: ClusterInternals
  readonly #circuit: ClusterCircuit
  readonly #random: () => number

  constructor (internals: ClusterInternals, circuit: ClusterCircuit, random: () => number) {
    this.#internals = internals
    this.#circuit = circuit
    this.#random = random
  }

  all (): ClusterNode[] {
    return Object.values(this.#internals.connectionPool.nodes.all)
  }

  /** A command for this node would be sent now. */
  isUsable (key: string): boolean {
    return this.connectionTo(key) === 'ready' && this.#circuit.circuitOf(key).usable
  }

  connectionTo (key: string): Redis['status'] {
    return this.#internals.connectionPool.nodes.all[key]?.status ?? 'wait'
  }

  /** ioredis takes any node for what has no slot; one that works is better. */
  sample (role: NodeRole): ClusterNode | undefined {
    const { nodes } = this.#internals.connectionPool
    const keys = Object.keys(nodes[role])
    const usable = keys.filter((key) => this.isUsable(key))
    const from = usable.length > 0 ? usable : keys
    const key = from[Math.floor(this.#random() * from.length)]
    return key === undefined ? undefined : nodes[role][key]
  }

  reconnect (key: string): void {
    const node = this.#internals.connectionPool.nodes.all[key]
    if (node !== undefined && node.status !== 'wait') node.reconnect()
  }

  /** Returns whether any slot has another primary than before. */
  apply (view: SlotView): boolean {
    const before = this.#internals.slots
    const slots = fill(view)
    const moved = before.length === 0 || slots.some((keys, slot) => keys[0] !== before[slot]?.[0])
    this.#internals.slots = slots
    this.#group(slots)
    this.#syncPool(view)
    return moved
  }

  /** For one slot only: ioredis writes into the list of the slot, which all slots of a range share. */
  isolate (slot: number): void {
    const keys = this.#internals.slots[slot]
    if (keys !== undefined) this.#internals.slots[slot] = [...keys]
  }

  nodeOf (slot: number): ClusterNode | undefined {
    const key = this.#internals.slots[slot]?.[0]
    return key === undefined ? undefined : this.#internals.connectionPool.nodes.all[key]
  }

  /** Slots that the same nodes serve are one group; pipelines may not leave theirs. */
  #group (slots: string[][]): void {
    const ids: Record<string, number> = Object.create(null)
    let count = 0
    const groups = new Map<string[], number>()
    this.#internals._groupsBySlot = slots.map((keys) => {
      if (keys.length === 0) return undefined
      let id = groups.get(keys)
      if (id === undefined) {
        id = ids[keys.join(';')] ??= ++count
        groups.set(keys, id)
      }
      return id
    })
    this.#internals._groupsIds = ids
  }

  #syncPool ({ ranges }: SlotView): void {
    const { connectionPool: pool } = this.#internals
    const roles = new Map<string, 'master' | 'slave'>()
    for (const { nodes } of ranges) {
      for (const [index, address] of nodes.entries()) {
        const key = nodeKey(address)
        if (index === 0) roles.set(key, 'master')
        else if (!roles.has(key)) roles.set(key, 'slave')
      }
    }
    for (const [key, role] of roles) this.#place(key, role)
    for (const [key, node] of Object.entries(pool.nodes.all)) {
      if (roles.has(key) || this.#circuit.isStranger(key)) continue
      pool.removeNode(key)
      node.disconnect()
    }
  }

  #place (key: string, role: 'master' | 'slave'): void {
    const { nodes } = this.#internals.connectionPool
    const node = nodes.all[key] ?? this.#internals.connectionPool.findOrCreate({ ...addressOf(key) }, role === 'slave')
    delete nodes.master[key]
    delete nodes.slave[key]
    nodes[role][key] = node
    node.setReadOnly(role === 'slave')
    // A primary is needed soon; a replica only if it becomes one.
    if (role === 'master' && node.status === 'wait') node.connect().catch(() => {})
  }
}

/** All slots of a range share one list. A slot that nobody serves has an empty one: ioredis asks any node then, which says CLUSTERDOWN. */
function fill ({ ranges }: SlotView): string[][] {
  const nobody: string[] = []
  const slots = new Array<string[]>(SLOTS).fill(nobody)
  for (const { first, last, nodes } of ranges) slots.fill(nodes.map(nodeKey), first, last + 1)
  return slots
}
