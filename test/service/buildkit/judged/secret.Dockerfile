FROM box
RUN --mount=type=secret,id=token,required=true --mount=type=secret,id=word,target=/word,mode=0444 cat /run/secrets/token /word && test ! -e /run/secrets/word
