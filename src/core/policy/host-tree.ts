import { AddressTable, type RangesOf } from '../names/address-table.ts'
import type { Host } from '../names/authority.ts'
import { unmapped } from '../names/ip.ts'
import { hostKey, type TargetPattern } from './host-pattern.ts'

interface Node<T> {
  children: Map<string, Node<T>> | undefined
  /** For the name that ends here and no other. */
  exact: T[] | undefined
  /** For the name that ends here, from a pattern that covers names under it too. */
  apex: T[] | undefined
  /** For any depth of labels under the name that ends here. */
  under: T[] | undefined
}

const NONE: readonly never[] = []

/**
 * Finds everything that covers a host, the most specific first: exact before wildcards, a longer wildcard before a shorter,
 * and in order of insertion where two are equally specific. An address literal is found by itself, then by the ranges around it, the
 * narrowest first.
 *
 * A tree of labels read from the right: one Map access per label however many patterns there are. No regular expressions,
 * so nothing an operator writes can backtrack, and `evil-example.com` cannot match `*.example.com`.
 */
export class HostTree<T> {
  readonly #root: Node<T> = emptyNode()
  readonly #addresses = new Map<string, T[]>()
  readonly #networks: RangesOf<T>[] = []
  /** Of all networks; absent until it is asked for. */
  #table: AddressTable<T> | undefined

  insert(pattern: TargetPattern, value: T): void {
    if (pattern.kind === 'network') {
      this.#networks.push({ ranges: pattern.ranges, value })
      this.#table = undefined
      return
    }
    if (pattern.kind === 'exact' && pattern.host.kind === 'address') {
      const key = hostKey(pattern.host)
      const values = this.#addresses.get(key)
      if (values === undefined) this.#addresses.set(key, [value])
      else values.push(value)
      return
    }
    const node = this.#nodeFor(pattern.kind === 'exact' ? pattern.host.text : pattern.suffix)
    if (pattern.kind === 'exact') node.exact = appended(node.exact, value)
    else node.under = appended(node.under, value)
    if (pattern.kind === 'within') node.apex = appended(node.apex, value)
  }

  find(host: Host): readonly T[] {
    if (host.kind === 'address') {
      const exact = this.#addresses.get(hostKey(host))
      return this.#networks.length === 0 ? (exact ?? NONE) : joined(exact, this.#addressTable().find(unmapped(host.ip)))
    }
    const name = host.name
    let found: readonly T[] = NONE
    let node: Node<T> | undefined = this.#root
    let end = name.length
    while (end > 0) {
      // -1 at the leftmost label makes the slice start at 0.
      const dot = name.lastIndexOf('.', end - 1)
      node = node.children?.get(name.slice(dot + 1, end))
      if (node === undefined) return found
      end = dot
      if (dot >= 0) found = joined(node.under, found)
      else found = joined(node.exact, joined(node.apex, found))
    }
    return found
  }

  /** Sorts what is found by address, so that the first request does not wait for it. */
  prepare(): this {
    if (this.#networks.length > 0) this.#addressTable()
    return this
  }

  #addressTable(): AddressTable<T> {
    this.#table ??= AddressTable.of(this.#networks)
    return this.#table
  }

  #nodeFor(name: string): Node<T> {
    let node = this.#root
    for (const label of name.split('.').reverse()) {
      node.children ??= new Map()
      let next = node.children.get(label)
      if (next === undefined) {
        next = emptyNode()
        node.children.set(label, next)
      }
      node = next
    }
    return node
  }
}

function emptyNode<T>(): Node<T> {
  return { children: undefined, exact: undefined, apex: undefined, under: undefined }
}

function appended<T>(values: T[] | undefined, value: T): T[] {
  if (values === undefined) return [value]
  values.push(value)
  return values
}

/** One list where there is one: most names have a single match, which then costs no new array. */
function joined<T>(first: readonly T[] | undefined, rest: readonly T[]): readonly T[] {
  if (first === undefined) return rest
  return rest.length === 0 ? first : [...first, ...rest]
}
