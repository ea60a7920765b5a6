import { didYouMean, type Problem, problem } from '../problem.ts'
import type { Edition } from './catalogue.ts'
import { isTagFeature } from './tag-rows.ts'

/** Features that no edition in force has. @param path of the mapping that names them */
export function unknownFeatures(
  features: Readonly<Record<string, boolean>>,
  editions: readonly Edition[],
  path: readonly (string | number)[],
): Problem[] {
  const names = new Set(editions.flatMap((edition) => Object.keys(edition.features)))
  return Object.keys(features)
    .filter((name) => !names.has(name))
    .map((name) => {
      const nearest = didYouMean(name, names)
      const remedy = nearest === undefined ? `there are ${listed(names)}` : `did you mean \`${nearest}\`?`
      return { ...problem([...path, name], `unknown feature \`${name}\`; ${remedy}`), at: 'key' as const }
    })
}

/** Service tags have long names, and many: their form is enough. */
function listed(features: ReadonlySet<string>): string {
  const plain = [...features].filter((name) => !isTagFeature(name))
  const tags = plain.length === features.size ? '' : ', and `network-TAG` for each documented service tag'
  return `${plain.join(', ')}${tags}`
}
