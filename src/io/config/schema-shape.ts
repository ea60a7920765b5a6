import { z } from '../../core/schema.ts'

/** As much of a JSON Schema as says which keys may stand where. */
export interface Shape {
  readonly properties?: Readonly<Record<string, Shape>>
  readonly additionalProperties?: boolean | Shape
  readonly items?: Shape
  readonly anyOf?: readonly Shape[]
}

const shapes = new Map<z.ZodType, Shape>()

/** A schema as it is published. Made at the first mistake: a file without one does not need it. */
function shapeOf(schema: z.ZodType): Shape {
  const shape = shapes.get(schema) ?? (z.toJSONSchema(schema, { io: 'input', target: 'draft-7' }) as Shape)
  shapes.set(schema, shape)
  return shape
}

/** The keys that may stand in the mapping at the path; none where it is no mapping with keys of its own. */
export function keysAt(schema: z.ZodType, path: readonly (string | number)[]): readonly string[] {
  let here: readonly Shape[] = alternatives(shapeOf(schema))
  for (const step of path) here = here.flatMap((one) => below(one, step)).flatMap(alternatives)
  return [...new Set(here.flatMap(({ properties }) => Object.keys(properties ?? {})))]
}

/** Where else a key may stand, written with dots: `workspace` for `storageAccounts`, `` for a key of the top. */
export function parentsOf(schema: z.ZodType, key: string): readonly string[] {
  const found: string[] = []
  const search = (one: Shape, path: readonly string[]): void => {
    for (const [name, child] of Object.entries(one.properties ?? {})) {
      if (name === key) found.push(path.join('.'))
      for (const alternative of alternatives(child)) {
        search(alternative, [...path, name])
        if (alternative.items !== undefined) search(alternative.items, [...path, name])
      }
    }
  }
  search(shapeOf(schema), [])
  return [...new Set(found)]
}

function alternatives(one: Shape): readonly Shape[] {
  return [one, ...(one.anyOf ?? [])]
}

function below(one: Shape, step: string | number): readonly Shape[] {
  const child = typeof step === 'number' ? one.items : (one.properties?.[step] ?? one.additionalProperties)
  return typeof child === 'object' ? [child] : []
}
