target "bad" { dockerfile = "failing.Dockerfile" }
