import type { Host } from '../names/authority.ts'
import { type HostPattern, hostKey } from './host-pattern.ts'

interface Node<T> {
  children: Map<string, Node<T>> | undefined
  /** For the name that ends here. */
  exact: T[] | undefined
  /** For any depth of labels under the name that ends here. */
  under: T[] | undefined
}

const NONE: readonly never[] = []

/**
 * Finds everything that covers a host, the most specific first: exact before wildcards, a longer wildcard before a shorter,
 * and in order of insertion where two are equally specific.
 *
 * A tree of labels read from the right: one Map access per label however many patterns there are. No regular expressions,
 * so nothing an operator writes can backtrack, and `evil-example.com` cannot match `*.example.com`.
 */
export class HostTree<T> {
  readonly #root: Node<T> = emptyNode()
  readonly #addresses = new Map<string, T[]>()

  insert(pattern: HostPattern, value: T): void {
    if (pattern.kind === 'exact' && pattern.host.kind === 'address') {
      const key = hostKey(pattern.host)
      const values = this.#addresses.get(key)
      if (values === undefined) this.#addresses.set(key, [value])
      else values.push(value)
      return
    }
    const node = this.#nodeFor(pattern.kind === 'exact' ? pattern.host.text : pattern.suffix)
    if (pattern.kind !== 'under') node.exact = appended(node.exact, value)
    if (pattern.kind !== 'exact') node.under = appended(node.under, value)
  }

  find(host: Host): readonly T[] {
    if (host.kind === 'address') return this.#addresses.get(hostKey(host)) ?? NONE
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
      const here: readonly T[] | undefined = dot < 0 ? node.exact : node.under
      if (here !== undefined) found = found.length === 0 ? here : [...here, ...found]
    }
    return found
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
  return { children: undefined, exact: undefined, under: undefined }
}

function appended<T>(values: T[] | undefined, value: T): T[] {
  if (values === undefined) return [value]
  values.push(value)
  return values
}
