# chinaeast2 (China East 2) is paired with chinanorth2 (China North 2)
# addresses of change 405 of the service tags; they change: `sallyport routes --diff OLD NEW` says what a newer file changes
# IPv6 ranges are left out; `--ipv6` adds them
# only for compute with public IP: say `--compute public-ip` to get the rules of its security group too, or `--compute no-public-ip`

resource "azurerm_route" "sallyport" {
  for_each = {
    "AzureMachineLearning-ChinaEast2-40.73.105.207-32"   = "40.73.105.207/32"
    "AzureMachineLearning-ChinaEast2-40.73.105.214-32"   = "40.73.105.214/32"
    "AzureMachineLearning-ChinaEast2-40.73.171.240-28"   = "40.73.171.240/28"
    "AzureMachineLearning-ChinaEast2-52.130.0.80-28"     = "52.130.0.80/28"
    "AzureMachineLearning-ChinaEast2-52.130.1.240-28"    = "52.130.1.240/28"
    "AzureMachineLearning-ChinaEast2-163.228.202.64-27"  = "163.228.202.64/27"
    "AzureMachineLearning-ChinaEast2-163.228.202.96-28"  = "163.228.202.96/28"
    "AzureMachineLearning-ChinaEast2-163.228.202.112-30" = "163.228.202.112/30"
    "AzureMachineLearning-ChinaEast2-163.228.202.116-31" = "163.228.202.116/31"
    "AzureMachineLearning-ChinaEast2-163.228.202.118-32" = "163.228.202.118/32"
    "AzureMachineLearning-ChinaNorth2-52.130.18.0-28"    = "52.130.18.0/28"
    "AzureMachineLearning-ChinaNorth2-159.27.147.144-28" = "159.27.147.144/28"
    "BatchNodeManagement-ChinaEast2-40.73.98.39-32"      = "40.73.98.39/32"
    "BatchNodeManagement-ChinaEast2-40.73.100.179-32"    = "40.73.100.179/32"
    "BatchNodeManagement-ChinaEast2-40.73.172.128-27"    = "40.73.172.128/27"
    "BatchNodeManagement-ChinaEast2-52.130.1.192-27"     = "52.130.1.192/27"
  }

  name                = each.key
  resource_group_name = "MyResourceGroup"
  route_table_name    = "MyRouteTable"
  address_prefix      = each.value
  next_hop_type       = "Internet"
}
