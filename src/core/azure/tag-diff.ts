import type { TagFile } from './tag-file.ts'

/** What became of one tag between two files. */
export interface TagChange {
  readonly tag: string
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** In which of the two files the tag is. */
  readonly in: 'both' | 'old' | 'new' | 'neither'
}

/** Each tag by its ranges in both files, in the order of the names. */
export function diffTags(before: TagFile, after: TagFile, names: Iterable<string>): readonly TagChange[] {
  return [...names].map((name) => {
    const key = name.toLowerCase()
    const [old, now] = [before.wanted[key], after.wanted[key]]
    const [had, has] = [rangesOf(old?.prefixes), rangesOf(now?.prefixes)]
    return {
      tag: now?.name ?? old?.name ?? name,
      added: [...has].filter((range) => !had.has(range)),
      removed: [...had].filter((range) => !has.has(range)),
      in: old === undefined ? (now === undefined ? 'neither' : 'new') : now === undefined ? 'old' : 'both',
    }
  })
}

function rangesOf(prefixes = ''): ReadonlySet<string> {
  return new Set(prefixes.split(' ').filter((range) => range !== ''))
}

/** For people: a line a tag, then what it gained (`+`) and lost (`-`). */
export function tagChangesText(before: TagFile, after: TagFile, changes: readonly TagChange[]): string {
  const lines = [`cloud ${after.cloud}: change ${before.change} to change ${after.change}`]
  for (const { tag, added, removed, in: where } of changes) {
    lines.push(`${tag}: ${WHERE[where] ?? summary(added.length, removed.length)}`)
    lines.push(...added.map((range) => `  + ${range}`), ...removed.map((range) => `  - ${range}`))
  }
  return lines.map((line) => `${line}\n`).join('')
}

const WHERE: Readonly<Partial<Record<TagChange['in'], string>>> = {
  old: 'gone from the new file',
  new: 'only in the new file',
  neither: 'in neither file',
}

function summary(added: number, removed: number): string {
  return added + removed === 0 ? 'unchanged' : `${added} added, ${removed} removed`
}
