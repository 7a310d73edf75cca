FROM nosuch-stage-or-image:x
