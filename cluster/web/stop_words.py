"""Words that are frequent in any English, German, French, Italian or Spanish text, and tell nothing of it."""

from __future__ import annotations

_ENGLISH = """a about above after again all also am an and any are as at be because been before being below between both
but by can could did do does doing down during each few for from further had has have having he her here hers him his
how i if in into is it its itself just me more most my no nor not now of off on once only or other our out over own s
same she should so some such t than that the their them then there these they this those through to too under until up
very was we were what when where which while who whom why will with would you your"""
_GERMAN = """aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist da damit dann das dass
daß dem den denn der des dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein eine einem einen
einer eines er es etwas euch für gegen hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im
in ist ja jede jedem jeden jeder jedes jetzt kann kein keine keinem keinen keiner können man mein meine mich mir mit
muss nach nicht nichts noch nun nur ob oder ohne schon sehr sein seine seinem seinen seiner selbst sich sie sind so
soll über um und uns unser unter viel vom von vor war waren was weil wenn werden wie wieder will wir wird wo zu zum zur
zwar zwischen"""
_FRENCH = """au aux avec ce ces dans de des du elle elles en est et eux il ils je la le les leur leurs lui ma mais me
même mes moi mon ne nos notre nous on ont ou où par pas pour qu que qui sa se ses son sont sur ta te tu un une vos votre
vous y à été être"""
_ITALIAN = """agli ai al alla alle allo anche che chi ci col come con cui da dagli dai dal dalla dei del della delle
dello di e ed gli ha hanno i il in io la le lei lo loro lui ma mi ne nei nel nella non o per più quella quello questa
questo se si sono su sul sulla suo tra un una uno è"""
_SPANISH = """al con como de del donde e el ella ellos en entre era es esta este esto ha han hasta hay la las le les lo
los más me mi muy nada ni no nos o para pero por porque que se si sin sobre son su sus también un una uno unos y ya"""

STOP_WORDS: tuple[str, ...] = tuple(
    sorted({word.casefold() for text in (_ENGLISH, _GERMAN, _FRENCH, _ITALIAN, _SPANISH) for word in text.split()})
)
"""In order, so that one is found by bisection."""
