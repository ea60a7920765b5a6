import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type HostPattern, hostPatternMatches, parseHostPattern } from '../../../src/core/policy/host-pattern.ts'
import { HostTree } from '../../../src/core/policy/host-tree.ts'
import { authorityOf, unwrap } from '../../support/policy.ts'

function treeOf(...patterns: readonly string[]): HostTree<string> {
  const tree = new HostTree<string>()
  for (const text of patterns) tree.insert(unwrap(parseHostPattern(text)), text)
  return tree
}

const found = (tree: HostTree<string>, host: string): readonly string[] => tree.find(authorityOf(host).host)

describe('the host tree', () => {
  it('gives everything that covers a host, the most specific first', () => {
    const tree = treeOf('*.com', '*example.com', '*.example.com', 'a.example.com', '*.a.example.com', 'b.example.com')
    expect(found(tree, 'a.example.com')).toEqual(['a.example.com', '*example.com', '*.example.com', '*.com'])
    expect(found(tree, 'x.a.example.com')).toEqual(['*.a.example.com', '*example.com', '*.example.com', '*.com'])
    expect(found(tree, 'example.com')).toEqual(['*example.com', '*.com'])
    expect(found(tree, 'com')).toEqual([])
  })

  it('names an exact host before `*suffix`, whichever was inserted first', () => {
    expect(found(treeOf('*example.com', 'example.com'), 'example.com')).toEqual(['example.com', '*example.com'])
    expect(found(treeOf('example.com', '*example.com'), 'example.com')).toEqual(['example.com', '*example.com'])
  })

  it('keeps the order of insertion among equals', () => {
    const tree = new HostTree<number>()
    const pattern = unwrap(parseHostPattern('a.example'))
    for (const value of [3, 1, 2]) tree.insert(pattern, value)
    expect(tree.find(authorityOf('a.example').host)).toEqual([3, 1, 2])
  })

  it('keeps addresses apart from names', () => {
    const tree = treeOf('10.1.2.3', '2001:db8::1', '*.example')
    expect(found(tree, '10.1.2.3')).toEqual(['10.1.2.3'])
    expect(found(tree, '[::ffff:a01:203]')).toEqual(['10.1.2.3'])
    expect(found(tree, '[2001:db8::1]')).toEqual(['2001:db8::1'])
    expect(found(tree, '10.1.2.4')).toEqual([])
  })

  it('takes a label that JavaScript knows for a label', () => {
    const tree = treeOf('constructor.example', '*.hasownproperty')
    expect(found(tree, 'tostring.example')).toEqual([])
    expect(found(tree, 'constructor')).toEqual([])
    expect(found(tree, '__proto__.example')).toEqual([])
    expect(found(tree, 'constructor.example')).toEqual(['constructor.example'])
  })

  it('does not change what it gave out when more is inserted', () => {
    const tree = treeOf('a.example')
    const before = found(tree, 'x.example')
    tree.insert(unwrap(parseHostPattern('x.example')), 'x.example')
    expect(before).toEqual([])
  })

  it('agrees with the plain meaning of its patterns (seeded, 20,000 cases)', () => {
    // Few labels, some of them endings of others, so that near misses are common.
    const label = fc.constantFrom('a', 'ba', 'b', 'ab', 'example', 'evilexample', 'com', '_x')
    const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'))
    const literal = fc.constantFrom('10.1.2.3', '10.1.2.4', '[::ffff:10.1.2.3]', '[2001:db8::1]', '[::1]')
    const pattern = fc.oneof(
      { arbitrary: fc.tuple(fc.constantFrom('', '*.', '*'), name).map((parts) => parts.join('')), weight: 9 },
      { arbitrary: literal, weight: 1 },
    )
    const host = fc.oneof({ arbitrary: name, weight: 9 }, { arbitrary: literal, weight: 1 })
    fc.assert(
      fc.property(fc.uniqueArray(pattern, { maxLength: 12 }), host, (texts, asked) => {
        const patterns = texts.map((text): HostPattern => unwrap(parseHostPattern(text)))
        const tree = new HostTree<HostPattern>()
        for (const one of patterns) tree.insert(one, one)
        const { host: target } = authorityOf(asked)
        const matching = patterns.filter((one) => hostPatternMatches(one, target))
        const given = tree.find(target)
        expect(new Set(given)).toEqual(new Set(matching))
        expect(given).toEqual(matching.toSorted((a, b) => specificity(b) - specificity(a)))
      }),
      { seed: 3128, numRuns: 20_000 },
    )
  })
})

/** Exact, then longer suffixes before shorter; in a stable sort equals keep their order. */
function specificity(pattern: HostPattern): number {
  return pattern.kind === 'exact' ? Number.POSITIVE_INFINITY : pattern.suffix.length
}
