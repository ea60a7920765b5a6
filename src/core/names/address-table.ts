import type { AddressRanges, PackedRanges } from './address-ranges.ts'
import type { IpAddress } from './ip.ts'

/** What belongs to every address in these ranges. */
export interface RangesOf<T> {
  readonly ranges: AddressRanges
  readonly value: T
}

/**
 * Finds everything whose ranges contain an address.
 *
 * CIDR ranges are either apart or one inside the other. Sorted by their first address and then widest first they are a forest: the
 * narrowest range around an address is the last that starts at or before it, or one that stands around that range. So a look-up is a
 * binary search and a few steps outwards, however many ranges there are. Numbers in typed arrays and no objects: 100,000 IPv4 ranges
 * take 1.3 MB.
 */
export class AddressTable<T> {
  readonly #values: readonly T[]
  readonly #ipv4: Forest
  readonly #ipv6: Forest

  private constructor(sets: readonly RangesOf<T>[]) {
    this.#values = sets.map(({ value }) => value)
    const ranges = sets.map((set) => set.ranges)
    this.#ipv4 = forestOf(
      1,
      ranges.map(({ ipv4 }) => ipv4),
    )
    this.#ipv6 = forestOf(
      4,
      ranges.map(({ ipv6 }) => ipv6),
    )
  }

  static of<T>(sets: readonly RangesOf<T>[]): AddressTable<T> {
    return new AddressTable(sets)
  }

  /** Ranges in it. */
  get size(): number {
    return this.#ipv4.lengths.length + this.#ipv6.lengths.length
  }

  /**
   * Each value once: that of the narrowest range first, and of equal ranges in the order given. Families never mix: unmap an address
   * (`unmapped`) before asking about IPv4.
   */
  find(ip: IpAddress): readonly T[] {
    const forest = ip.family === 4 ? this.#ipv4 : this.#ipv6
    const key = ip.family === 4 ? [ip.value] : ip.words
    const found: T[] = []
    for (let at = lastStartingAtOrBefore(forest, key); at >= 0; at = forest.parents[at] ?? -1) {
      if (!covers(forest, at, key)) continue
      const value = this.#values[forest.owners[at] ?? 0]
      if (value !== undefined && !found.includes(value)) found.push(value)
    }
    return found
  }
}

/** Ranges in order, each with the place of the narrowest range around it (or -1) and of the value it belongs to. */
interface Forest extends PackedRanges {
  readonly parents: Int32Array
  readonly owners: Uint32Array
}

type Words = ArrayLike<number>

function forestOf(width: 1 | 4, sets: readonly PackedRanges[]): Forest {
  const size = sets.reduce((sum, { lengths }) => sum + lengths.length, 0)
  const all = { width, starts: new Uint32Array(size * width), lengths: new Uint8Array(size) }
  const owners = new Uint32Array(size)
  let at = 0
  sets.forEach(({ starts, lengths }, owner) => {
    all.starts.set(starts, at * width)
    all.lengths.set(lengths, at)
    owners.fill(owner, at, at + lengths.length)
    at += lengths.length
  })
  // Of equal ranges the one given first stands last: the look-up walks from the end.
  const order = Uint32Array.from({ length: size }, (_, index) => index).sort((a, b) => compareRanges(all, a, b) || b - a)
  return nested(sorted({ ...all, owners, parents: new Int32Array(size) }, order))
}

function sorted({ width, starts, lengths, owners, parents }: Forest, order: Uint32Array): Forest {
  const inOrder = new Uint32Array(starts.length)
  order.forEach((from, to) => {
    for (let word = 0; word < width; word++) inOrder[to * width + word] = starts[from * width + word] ?? 0
  })
  return {
    width,
    starts: inOrder,
    lengths: Uint8Array.from(order, (from) => lengths[from] ?? 0),
    owners: order.map((from) => owners[from] ?? 0),
    parents,
  }
}

function nested(forest: Forest): Forest {
  const { width, starts, parents } = forest
  for (let at = 0; at < parents.length; at++) {
    const start = starts.subarray(at * width, (at + 1) * width)
    let parent = at - 1
    while (parent >= 0 && !covers(forest, parent, start)) parent = parents[parent] ?? -1
    parents[at] = parent
  }
  return forest
}

function lastStartingAtOrBefore(forest: Forest, key: Words): number {
  let low = 0
  let high = forest.lengths.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareStart(forest, middle, key) <= 0) low = middle + 1
    else high = middle
  }
  return low - 1
}

function compareStart({ width, starts }: PackedRanges, at: number, key: Words): number {
  for (let word = 0; word < width; word++) {
    const difference = (starts[at * width + word] ?? 0) - (key[word] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

function compareRanges(ranges: PackedRanges, a: number, b: number): number {
  const { width, starts, lengths } = ranges
  for (let word = 0; word < width; word++) {
    const difference = (starts[a * width + word] ?? 0) - (starts[b * width + word] ?? 0)
    if (difference !== 0) return difference
  }
  return (lengths[a] ?? 0) - (lengths[b] ?? 0)
}

/** Whether the address agrees with the range in the range's first bits. */
function covers({ width, starts, lengths }: PackedRanges, at: number, key: Words): boolean {
  const length = lengths[at] ?? 0
  for (let word = 0; word < width && length > 32 * word; word++) {
    const bits = length - 32 * word
    // A shift by 32 would shift by nothing.
    const mask = bits >= 32 ? -1 : -1 << (32 - bits)
    if ((((starts[at * width + word] ?? 0) ^ (key[word] ?? 0)) & mask) !== 0) return false
  }
  return true
}
