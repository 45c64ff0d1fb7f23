"""Small stories: the words and the plots of the corpus `generated`.

Written for `core.text.grammar`, which explains the signs. A story is one line. Its hero's
name and pronoun, the friend, the thing with its colour, the place and the weather come back
after they were drawn, so that a model has something to remember.
"""

from __future__ import annotations

from functools import lru_cache

from core.text.grammar import Grammar
from core.text.story_words import CLASSES

RULES: dict[str, list[str | tuple[int, str]]] = {
    "story": [
        (3, "<once> {hero:hero} <had> {colour:colour.a} {toy:toy}. <lost>\n"),
        (3, "One {time:time} {hero:hero} went <walk> {place:place.in}. <found>\n"),
        (2, "{hero:hero} wanted to {dream:dream}. <dream>\n"),
        (2, "There was once {temper:temper.a} {animal:animal} who <home>\n"),
        (2, '"{question:question}" asked {hero:hero}. <answer>\n'),
    ],
    "once": [(3, "Once"), "Long ago", "Last summer", "Last winter", "In a small town"],
    # A toy is lost to the weather and found by an animal.
    "had": ["had", "made", "was given", "bought"],
    "lost": [
        "{hero.He} took the {toy} everywhere. But one {time:time} {weather:weather}, and"
        " <loss@weather>. {hero} <sad> <finder>",
        "It was {hero.his} dearest thing. Then {weather:weather}, and <loss@weather>. <finder>",
    ],
    "loss/wind": ["the {toy} flew <over>", "the {toy} was blown <over>", "off it went, <over>"],
    "loss/rain": [
        "{hero} ran home without the {toy}",
        "the {toy} was washed away",
        "in the mud {hero} lost it",
    ],
    "loss/snow": ["the {toy} was buried", "{hero} could not find the {toy} in all that white"],
    "loss/sun": [
        "{hero} fell asleep, and the {toy} was gone when {hero.he} woke",
        "while {hero.he} bathed, somebody took the {toy}",
    ],
    "over": ["over the wall", "into a tree", "across the river", "behind the mill", "out to sea"],
    "sad": [
        "cried a little.",
        "looked for it for {n:number} days.",
        "did not want any {food:food}.",
        "said nothing all evening.",
    ],
    "finder": [
        "{temper:temper.A} {animal:animal} had seen it all. <offer>",
        "In the end {temper:temper.a} {animal:animal} knocked at the door. <offer>",
        "Who came by but {temper:temper.a} {animal:animal}? <offer>",
    ],
    "offer": [
        '"Is this {colour} {toy} yours?" asked the {animal}. "Yes!" said {hero}. <thanks> <ending>',
        '"I found {colour.a} {toy}," said the {animal}, "and it smells of {food:food}."'
        ' "That is mine!" said {hero}. <thanks> <ending>',
        "The {animal} brought back the {toy}, a little less {colour} than before. <thanks>"
        " <ending>",
    ],
    "thanks": [
        "{hero} gave the {animal} some {food:food}.",
        "The {animal} only nodded and went away.",
        "From then on the {animal} and {hero} shared the {toy}.",
        '"You are not so {temper} at all," said {hero}.',
    ],
    # A thing is found, and belongs to somebody.
    "walk": ["for a walk", "to play", "all alone", "with {n:number} sandwiches", "singing"],
    "found": [
        "{hero.He} found {colour:colour.a} {thing:thing@place}. <owner>",
        "There lay {colour:colour.a} {thing:thing@place}, and {hero} put it in {hero.his} pocket."
        " <owner>",
        "Under <spot@place> something shone: it was {colour:colour.a} {thing:thing@place}. <owner>",
    ],
    "spot/beach": ["the sand", "a wet towel", "the seaweed"],
    "spot/forest": ["the roots of a beech", "the moss", "dry leaves"],
    "spot/market": ["a heap of plums", "the scales", "a bench"],
    "spot/hill": ["the tall grass", "a flat stone", "the signpost"],
    "spot/garden": ["the beans", "an old pot", "the swing"],
    "spot/attic": ["the dust", "a broken chair", "the coats"],
    "spot/river": ["the bridge", "the willows", "a loose plank"],
    "spot/harbour": ["a heap of nets", "the stairs", "a crate"],
    "owner": [
        '"That is my {thing}," said {temper:temper.a} {animal:animal}. <giving> <ending>',
        "Then {hero.he} met {temper:temper.a} {animal:animal} who was looking for something"
        " {colour}. <giving> <ending>",
        "{hero} asked everybody {place.in}. Only {temper:temper.a} {animal:animal} knew the"
        " {thing}. <giving> <ending>",
    ],
    "giving": [
        "{hero} gave the {thing} back at once, and the {animal} danced for joy.",
        '"Let us share it," said {hero}. The {animal} thought for {n:number} minutes and agreed.',
        "The {animal} told {hero.him} that the {thing} had been lost for {n:number} years.",
        '"Keep it," said the {animal}. "I have {n:number} more at home."',
    ],
    # A wish, a failure, help.
    "dream": [
        '"You are too small," said everybody. <trying>',
        "{hero.He} had dreamed of it for {n:number} weeks. <trying>",
        "Nobody in the family had ever tried. <trying>",
    ],
    "trying": [
        "The first time <failure@dream>. The second time <failure@dream>. <teacher>",
        "{hero.He} tried it alone, but <failure@dream>. <teacher>",
    ],
    "failure/water": [
        "{hero} fell in",
        "the water was too cold",
        "{hero.his} boots filled up",
        "a wave came",
    ],
    "failure/music": [
        "the neighbours shut their windows",
        "only a squeak came out",
        "all the dogs howled",
        "{hero} forgot the tune",
    ],
    "failure/kitchen": [
        "everything burned",
        "{hero} took salt for sugar",
        "the pot boiled over",
        "flour went up {hero.his} nose",
    ],
    "teacher": [
        'Then {temper:temper.a} {animal:animal} said: "<advice>." {hero} listened. After'
        " {n:number} days of {dream.ing} {hero.he} {dream.past}. <ending>",
        "So {hero} went to {temper:temper.a} {animal:animal}, who knew all about {dream.ing}."
        ' "<advice>," said the {animal}. And soon {hero} {dream.past}. <ending>',
    ],
    "advice": [
        "Slowly, slowly",
        "Close your eyes and count to {count:number}",
        "Begin again, and laugh",
        "First eat some {food:food}",
        "Nobody learns it in a day",
    ],
    # Somebody lonely gets company.
    "home": [
        "lived {place:place.in} with nobody to talk to. <visit>",
        "was alone {place:place.in} all year. <visit>",
        "sat {place:place.in} every {time:time} and waited. <visit>",
    ],
    "visit": [
        "Then {hero:hero} came by <errand>. <welcome> <ending>",
        "One {day:time} {weather:weather}, and {hero:hero} <shelter@weather>. <welcome> <ending>",
    ],
    "errand": [
        "with {food:food}",
        "to look for {colour:colour.a} {thing:thing@place}",
        "by mistake",
        "on the way home",
    ],
    "shelter/wind": ["held on to the door", "came in with the leaves"],
    "shelter/rain": ["asked for a dry corner", "was wet to the skin"],
    "shelter/snow": ["knocked with cold fingers", "followed the light"],
    "shelter/sun": ["asked for a glass of water", "looked for some shade"],
    "welcome": [
        '"Come in," said the {animal}. They ate {meal:food} and told each other <told>.',
        "The {animal} was too {temper} to speak. So {hero} sang {n:number} songs.",
        '"Go away!" said the {animal}. But {hero} stayed, and they played <game> all day.',
        'They talked until {hero} had to go. "Come back soon," said the {animal}.',
    ],
    "told": ["jokes", "secrets", "everything", "{n:number} stories", "about the sea"],
    "game": ["cards", "chess", "hide and seek", "dominoes"],
    # A question is asked.
    "answer": [
        "Nobody knew. So {hero.he} went to {temper:temper.a} {animal:animal} {place:place.in}."
        " <saying>",
        "{temper:temper.A} {animal:animal} thought for {n:number} days. <saying>",
        "Everybody laughed but {temper:temper.a} {animal:animal}. <saying>",
    ],
    "saying": [
        '"<reason@question>," said the {animal}. <doubt> <ending>',
        'And the {animal} said: "<reason@question>." <doubt> <ending>',
    ],
    "reason/moon": [
        "Because it ate all the {food:food}",
        "Because nobody winds it up",
        "It is only {colour:colour} cheese",
    ],
    "reason/sea": ["The fish cry at night", "A ship full of salt sank", "So that it keeps"],
    "reason/stars": ["{n:number} more than yesterday", "As many as you have hairs", "Count them"],
    "reason/wind": ["In {colour:colour.a} house", "Behind the last hill", "Under your bed"],
    "doubt": [
        "{hero} did not believe a word of it.",
        '"I thought so," said {hero}.',
        "That night {hero} looked out of the window for a long time.",
        'Then the {animal} wanted to know: "And who are you?" "I am {hero}."',
    ],
    "ending": [
        (3, "And {hero} <felt>."),
        (2, "That night {hero} <dreamt>."),
        (2, "{hero.His} mother laughed when {hero.he} told her about the {animal}."),
        "They have been friends ever since.",
        "The {animal} still talks about {hero}.",
        "Nobody but the {animal} ever heard of it.",
    ],
    "dreamt": [
        "slept like a stone",
        "dreamed of {a:animal.a}",
        "could not sleep",
        "ate {food:food} in bed",
    ],
    "felt": [
        "was happy",
        "was proud",
        "felt at home",
        "was not afraid any more",
        "smiled",
        "said goodbye",
    ],
}


@lru_cache(maxsize=1)
def stories() -> Grammar:
    """The grammar of the corpus `generated`; its texts end in a newline and have no other."""
    return Grammar(RULES, CLASSES, "story")
