/** Near misses of the rows that differ from cloud to cloud. */

import type { Cloud } from './doc-2021.ts'
import type { NearMiss } from './near-misses.ts'
import { about, allow, deny } from './probe.ts'

interface Suffixes {
  readonly storage: string
  readonly registry: string
}

const SUFFIXES: Readonly<Record<Cloud, Suffixes>> = {
  public: { storage: 'core.windows.net', registry: 'azurecr.io' },
  government: { storage: 'core.usgovcloudapi.net', registry: 'azurecr.us' },
  china: { storage: 'core.chinacloudapi.cn', registry: 'azurecr.cn' },
}

/** A cloud whose names must not be let out of `cloud`. */
const OTHER: Readonly<Record<Cloud, Cloud>> = { public: 'government', government: 'china', china: 'public' }

function storage(cloud: Cloud): readonly NearMiss[] {
  const { storage: suffix } = SUFFIXES[cloud]
  return ['blob', 'file', 'dfs', 'queue', 'table'].flatMap((service) =>
    about(
      cloud,
      `examplestore.${service}.${suffix}`,
      allow(`examplestore.${service}.${suffix}`, 'the account that `workspace` names'),
      deny(`otherstore.${service}.${suffix}`, "another customer's account"),
      deny(`evilexamplestore.${service}.${suffix}`, 'another account that ends in the same letters'),
      deny(`x.examplestore.${service}.${suffix}`, 'an exact name covers nothing under it'),
      deny(`examplestore-secondary.${service}.${suffix}`, 'the secondary endpoint is another name'),
      deny(`examplestore.web.${suffix}`, 'a service that is not listed'),
      deny(`examplestore.${service}.${SUFFIXES[OTHER[cloud]].storage}`, "another cloud's suffix"),
      deny(suffix, 'the bare suffix of the document names no host'),
      deny(`examplestore.${service}.${suffix}:445`, 'SMB: rows without ports mean 80 and 443'),
    ),
  )
}

function registry(cloud: Cloud): readonly NearMiss[] {
  const { registry: suffix } = SUFFIXES[cloud]
  return [
    ...about(
      cloud,
      `exampleregistry.${suffix}`,
      allow(`exampleregistry.${suffix}`, 'the registry that `workspace` names'),
      deny(`otherregistry.${suffix}`, "another customer's registry"),
      deny(`exampleregistry.${SUFFIXES[OTHER[cloud]].registry}`, "another cloud's suffix"),
      deny(suffix, 'the bare suffix of the document is no registry'),
    ),
    ...about(
      cloud,
      `exampleregistry.eastus2.data.${suffix}`,
      allow(`exampleregistry.eastus2.data.${suffix}`, "the named registry's data endpoint in a named region"),
      deny(`exampleregistry.centralus.data.${suffix}`, 'a region that `workspace` does not name'),
      deny(`otherregistry.eastus2.data.${suffix}`, "another customer's data endpoint"),
      deny(`exampleregistry.data.${suffix}`, 'data endpoints have a region'),
    ),
  ]
}

/** An exact name: itself, and the ways round it. */
function exact(cloud: Cloud, host: string, ...more: readonly Parameters<typeof deny>[]): readonly NearMiss[] {
  return about(
    cloud,
    host,
    allow(host, 'the documented name'),
    allow(`${host}:80`, 'rows without ports mean 80 and 443'),
    deny(`${host}:8443`, 'rows without ports mean 80 and 443'),
    deny(`${host}.evil.example`, 'the listed name is only the beginning'),
    deny(`evil-${host}`, 'the listed name is only the end'),
    ...more.map((one) => deny(...one)),
  )
}

/** `*.suffix`: any depth, never the apex nor a name that only ends in the same letters. */
function under(cloud: Cloud, suffix: string, label: string, ...more: readonly Parameters<typeof deny>[]): readonly NearMiss[] {
  return about(
    cloud,
    `*.${suffix}`,
    allow(`${label}.${suffix}`, 'one label under it'),
    allow(`a.b.${suffix}`, 'any depth counts'),
    deny(`${label}.${suffix}.evil.example`, 'the listed name is only the beginning'),
    deny(`${label}.${suffix}:8443`, 'rows without ports mean 80 and 443'),
    ...more.map((one) => deny(...one)),
  )
}

const APEX = 'the apex is listed separately or not at all'
const ENDING = 'labels are compared, not text endings'
const CLOUD = 'listed for another cloud'
const BLANK = 'a blank cell in the document lets nothing out'

const PUBLIC: readonly NearMiss[] = [
  ...exact('public', 'login.microsoftonline.com', ['login.microsoftonline.us', CLOUD], ['microsoftonline.com', APEX]),
  ...exact('public', 'management.azure.com', ['management.usgovcloudapi.net', CLOUD], ['management.azure.cn', CLOUD]),
  ...exact('public', 'ml.azure.com', ['ml.azure.us', CLOUD], ['x.ml.azure.com', 'an exact name covers nothing under it']),
  ...under(
    'public',
    'azureml.ms',
    'eastus2.api',
    ['azureml.ms', APEX],
    ['evilazureml.ms', ENDING],
    ['x.azureml.ms:18881', 'no instance'],
  ),
  ...under('public', 'notebooks.azure.net', 'example', ['notebooks.azure.net', APEX], ['evilnotebooks.azure.net', ENDING]),
  ...exact('public', 'graph.microsoft.com', ['graph.microsoft.us', CLOUD], ['graph.chinacloudapi.cn', CLOUD]),
  ...under('public', 'aznbcontent.net', 'example', ['aznbcontent.net', APEX], ['evilaznbcontent.net', ENDING]),
  ...under(
    'public',
    'batchai.core.windows.net',
    'eastus2',
    ['batchai.core.windows.net', APEX],
    ['evilbatchai.core.windows.net', ENDING],
  ),
  ...under(
    'public',
    'instances.azureml.net',
    'example',
    ['instances.azureml.net', APEX],
    ['eastus2.experiments.azureml.net', 'a sibling'],
  ),
  ...about(
    'public',
    '*.instances.azureml.ms',
    allow('example.instances.azureml.ms', 'one of the three documented ports'),
    allow('example.instances.azureml.ms:18881', 'one of the three documented ports'),
    allow('example.instances.azureml.ms:8787', 'one of the three documented ports'),
    allow('example.instances.azureml.ms:80', 'not by this row, but `*.azureml.ms` allows it'),
    deny('example.instances.azureml.ms:8888', 'another port'),
    deny('instances.azureml.ms:8787', 'the apex: `*.azureml.ms` covers it on 80 and 443 alone'),
    deny('eastus2.api.azureml.ms:8787', 'the ports are for instances'),
    deny('evilinstances.azureml.ms:18881', ENDING),
    deny('example.instances.azureml.net:8787', 'the ports are for the name that ends in ms'),
  ),
]

const GOVERNMENT: readonly NearMiss[] = [
  ...exact('government', 'login.microsoftonline.us', ['login.microsoftonline.com', CLOUD], ['login.chinacloudapi.cn', CLOUD]),
  ...exact(
    'government',
    'management.azure.us',
    ['management.azure.com', CLOUD],
    ['portal.azure.us', 'the portal itself has no row'],
  ),
  ...exact('government', 'management.usgovcloudapi.net', ['management.chinacloudapi.cn', CLOUD], ['usgovcloudapi.net', APEX]),
  ...exact('government', 'ml.azure.us', ['ml.azure.com', CLOUD], ['ml.azure.us.cn', 'another top-level domain']),
  ...under(
    'government',
    'ml.azure.us',
    'usgovvirginia.api',
    ['evilml.azure.us', ENDING],
    ['x.azureml.ms', CLOUD],
    ['x.ml.azure.cn', CLOUD],
  ),
  ...under(
    'government',
    'notebooks.usgovcloudapi.net',
    'example',
    ['notebooks.usgovcloudapi.net', APEX],
    ['x.notebooks.azure.net', CLOUD],
  ),
  ...exact('government', 'graph.microsoft.us', ['graph.microsoft.com', CLOUD], ['graph.chinacloudapi.cn', CLOUD]),
  ...under(
    'government',
    'batchai.core.usgovcloudapi.net',
    'example',
    ['batchai.core.usgovcloudapi.net', APEX],
    ['x.batchai.core.windows.net', CLOUD],
  ),
  ...under(
    'government',
    'instances.azureml.us',
    'example',
    ['instances.azureml.us', APEX],
    ['x.instances.azureml.net', CLOUD],
    ['example.instances.azureml.us:18881', 'the ports are documented for public alone'],
  ),
]

const CHINA: readonly NearMiss[] = [
  ...exact(
    'china',
    'login.chinacloudapi.cn',
    ['login.microsoftonline.com', CLOUD],
    ['login.partner.microsoftonline.cn', 'no row'],
  ),
  ...exact('china', 'management.azure.cn', ['management.azure.com', CLOUD], ['azure.cn', APEX]),
  ...exact('china', 'management.chinacloudapi.cn', ['management.usgovcloudapi.net', CLOUD], ['chinacloudapi.cn', APEX]),
  ...about(
    'china',
    'studio.ml.azure.cn',
    allow('studio.ml.azure.cn', 'the documented name, which the API row covers as well'),
    deny('ml.azure.com', CLOUD),
    deny('studio.ml.azure.cn:8443', 'rows without ports mean 80 and 443'),
    deny('studio.ml.azure.cn.evil.example', 'the listed name is only the beginning'),
  ),
  ...under(
    'china',
    'ml.azure.cn',
    'chinaeast2.api',
    ['ml.azure.cn', APEX],
    ['evilml.azure.cn', ENDING],
    ['x.ml.azure.us', CLOUD],
  ),
  ...under(
    'china',
    'notebooks.chinacloudapi.cn',
    'example',
    ['notebooks.chinacloudapi.cn', APEX],
    ['x.notebooks.azure.net', CLOUD],
  ),
  ...exact('china', 'graph.chinacloudapi.cn', ['graph.microsoft.com', CLOUD], ['graph.microsoft.us', CLOUD]),
  ...under(
    'china',
    'batchai.ml.azure.cn',
    'example',
    ['x.batchai.core.windows.net', CLOUD],
    ['x.batchai.core.chinacloudapi.cn', 'the pattern is under ml.azure.cn'],
  ),
  ...under(
    'china',
    'instances.azureml.cn',
    'example',
    ['instances.azureml.cn', APEX],
    ['x.instances.azureml.us', CLOUD],
    ['x.azureml.cn', 'a sibling'],
  ),
]

const BLANKS: readonly NearMiss[] = (['government', 'china'] as const).flatMap((cloud) => [
  ...about(cloud, '*.aznbcontent.net', deny('example.aznbcontent.net', BLANK)),
  ...about(
    cloud,
    '*.instances.azureml.ms',
    deny('example.instances.azureml.ms', BLANK),
    deny('example.instances.azureml.ms:18881', BLANK),
    deny('example.instances.azureml.ms:8787', BLANK),
  ),
])

export const BY_CLOUD: readonly NearMiss[] = [
  ...PUBLIC,
  ...GOVERNMENT,
  ...CHINA,
  ...BLANKS,
  ...(['public', 'government', 'china'] as const).flatMap((cloud) => [...storage(cloud), ...registry(cloud)]),
]
