variable "GREETING" { default = "from the file" }
group "default" { targets = ["app", "plain"] }
target "base" { context = "app" }
target "app" {
  inherits = ["base"]
  args = { GREETING = GREETING }
  tags = ["baked:app"]
  labels = { baked = "yes" }
}
target "plain" {
  dockerfile-inline = "FROM box\nENV BAKED=plain\n"
  tags = ["baked:plain"]
}
target "files" {
  dockerfile = "files.Dockerfile"
  output = ["type=local,dest=baked-files"]
}
