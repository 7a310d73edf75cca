FROM box
RUNN x
