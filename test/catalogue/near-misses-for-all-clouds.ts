/** Near misses of the rows that name the same host in all three clouds. */

import { CLOUDS, type Cloud } from './doc-2021.ts'
import type { NearMiss } from './near-misses.ts'
import { about, allow, deny, inspect } from './probe.ts'

const DIAGNOSTICS = { features: { diagnostics: true } }
const WEBSOCKET_SERVER = '/microsoft/vscode-tools-for-ai/master/azureml_remote_websocket_server'
const RAW = 'raw.githubusercontent.com'

const compute = (cloud: Cloud): readonly NearMiss[] => [
  ...about(
    cloud,
    'graph.windows.net',
    allow('graph.windows.net', 'the application rule of line 132 is for all clouds'),
    deny('x.graph.windows.net', 'an exact name covers nothing under it'),
    deny('windows.net', 'the parent is not listed'),
    deny('graph.windows.net:8443', 'rows without ports mean 80 and 443'),
  ),
  ...about(
    cloud,
    'mcr.microsoft.com',
    allow('mcr.microsoft.com', 'the public name in all three clouds'),
    deny('eastus2.data.mcr.microsoft.com', 'this edition does not list where the layers are'),
    deny('mcr.microsoft.com.evil.example', 'the listed name is only the beginning'),
    deny('mcr.microsoft.com:5000', 'rows without ports mean 80 and 443'),
  ),
  ...about(
    cloud,
    'viennaglobal.azurecr.io',
    allow('viennaglobal.azurecr.io', 'the public name in all three clouds'),
    deny('viennaglobal2.azurecr.io', "another customer's registry"),
    deny('x.viennaglobal.azurecr.io', 'an exact name covers nothing under it'),
    deny('viennaglobal.eastus2.data.azurecr.io', 'data endpoints are for registries that `workspace` names'),
  ),
]

const python = (cloud: Cloud): readonly NearMiss[] => [
  ...about(
    cloud,
    'anaconda.com',
    allow('anaconda.com', 'the apex has a row of its own'),
    allow('anaconda.com:80', 'rows without ports mean 80 and 443'),
    deny('anaconda.com:8080', 'rows without ports mean 80 and 443'),
    deny('anaconda.com.evil.example', 'the listed name is only the beginning'),
  ),
  ...about(
    cloud,
    '*.anaconda.com',
    allow('repo.anaconda.com', 'one label under it'),
    deny('evilanaconda.com', 'labels are compared, not text endings'),
    deny('repo.anaconda.cm', 'another top-level domain'),
  ),
  ...about(
    cloud,
    '*.anaconda.org',
    allow('conda.anaconda.org', 'one label under it'),
    allow('a.b.anaconda.org', 'any depth counts'),
    deny('anaconda.org', 'the apex is listed separately or not at all'),
    deny('evil-anaconda.org', 'labels are compared, not text endings'),
  ),
  ...about(
    cloud,
    'pypi.org',
    allow('pypi.org', 'the index'),
    deny('upload.pypi.org', 'uploads go to a name of their own, which is not listed'),
    deny('pypi.org.evil.example', 'the listed name is only the beginning'),
    deny('pypi.org:8443', 'rows without ports mean 80 and 443'),
  ),
  ...about(
    cloud,
    '*.pythonhosted.org',
    allow('files.pythonhosted.org', 'python-files is on by default'),
    deny('files.pythonhosted.org', 'the feature is off', { features: { 'python-files': false } }),
    deny('pythonhosted.org', 'the apex is listed separately or not at all'),
    deny('filespythonhosted.org', 'labels are compared, not text endings'),
  ),
  ...about(
    cloud,
    '*pytorch.org',
    allow('pytorch.org', 'no dot: the apex counts'),
    allow('download.pytorch.org', 'and any depth under it'),
    deny('evilpytorch.org', 'Azure Firewall lets it out, labels do not'),
    deny('pytorch.org.evil.example', 'the listed name is only the beginning'),
    deny('pytorch.com', 'another top-level domain'),
  ),
  ...about(
    cloud,
    '*.tensorflow.org',
    allow('www.tensorflow.org', 'one label under it'),
    deny('tensorflow.org', 'the document has no row for the apex'),
    deny('eviltensorflow.org', 'labels are compared, not text endings'),
  ),
  ...about(
    cloud,
    'cloud.r-project.org',
    allow('cloud.r-project.org', 'the documented mirror'),
    deny('cran.r-project.org', 'another mirror'),
    deny('r-project.org', 'the parent is not listed'),
    deny('cloud.r-project.org', 'the feature is off', { features: { r: false } }),
  ),
]

const vscode = (cloud: Cloud): readonly NearMiss[] => [
  ...about(
    cloud,
    'update.code.visualstudio.com',
    allow('update.code.visualstudio.com', 'the update service'),
    deny('code.visualstudio.com', 'the parent is not listed'),
    deny('marketplace.visualstudio.com', 'a sibling is not listed'),
    deny('x.update.code.visualstudio.com', 'an exact name covers nothing under it'),
  ),
  ...about(
    cloud,
    '*.vo.msecnd.net',
    allow('az764295.vo.msecnd.net', 'one label under it'),
    deny('vo.msecnd.net', 'the apex is listed separately or not at all'),
    deny('az764295.msecnd.net', 'one label short'),
    deny('evilvo.msecnd.net', 'labels are compared, not text endings'),
  ),
  ...about(
    cloud,
    RAW,
    inspect(RAW, 'the host has a path row, and TLS hides the path'),
    allow(`${RAW}:80`, 'a file in the documented folder', { path: `${WEBSOCKET_SERVER}/server.tgz` }),
    allow(`${RAW}:80`, 'the folder itself', { path: `${WEBSOCKET_SERVER}/` }),
    deny(`${RAW}:80`, 'the folder without its slash', { path: WEBSOCKET_SERVER }),
    deny(`${RAW}:80`, 'a sibling with the same beginning', { path: `${WEBSOCKET_SERVER}2/server.tgz` }),
    deny(`${RAW}:80`, 'case counts in paths', { path: `${WEBSOCKET_SERVER.toUpperCase()}/server.tgz` }),
    deny(`${RAW}:80`, "anybody's repository", { path: '/evil/repository/main/server.tgz' }),
    deny(`${RAW}:8443`, 'rows without ports mean 80 and 443'),
    deny('gist.githubusercontent.com', 'a sibling is not listed'),
    deny(`x.${RAW}`, 'an exact name covers nothing under it'),
  ),
]

const diagnostics = (cloud: Cloud): readonly NearMiss[] => [
  ...about(
    cloud,
    'dc.applicationinsights.azure.com',
    allow('dc.applicationinsights.azure.com', 'switched on for a support case', DIAGNOSTICS),
    deny('dc.applicationinsights.azure.com', 'diagnostics is off by default'),
    deny('applicationinsights.azure.com', 'the parent is not listed', DIAGNOSTICS),
    deny('eastus2-3.in.applicationinsights.azure.com', 'this edition lists no regional host', DIAGNOSTICS),
  ),
  ...about(
    cloud,
    'dc.applicationinsights.microsoft.com',
    allow('dc.applicationinsights.microsoft.com', 'switched on for a support case', DIAGNOSTICS),
    deny('dc.applicationinsights.microsoft.com', 'diagnostics is off by default'),
    deny('rt.applicationinsights.microsoft.com', 'a sibling is not listed', DIAGNOSTICS),
  ),
  ...about(
    cloud,
    'dc.services.visualstudio.com',
    allow('dc.services.visualstudio.com', 'switched on for a support case', DIAGNOSTICS),
    deny('dc.services.visualstudio.com', 'diagnostics is off by default'),
    deny('evildc.services.visualstudio.com', 'labels are compared, not text endings', DIAGNOSTICS),
  ),
]

export const FOR_ALL_CLOUDS: readonly NearMiss[] = CLOUDS.flatMap((cloud) => [
  ...compute(cloud),
  ...python(cloud),
  ...vscode(cloud),
  ...diagnostics(cloud),
])
