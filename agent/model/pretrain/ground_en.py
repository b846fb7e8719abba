"""Tables for `gen_ground.py`: English relations, values and phrasings. Data only. See `ground_zh.py` for the fields.

{P} is the owner's possessive ("my", "your", "Tom's"). Short on purpose: six-year-old English.
"""
PETS = "cat dog puppy kitten rabbit turtle goldfish hamster parrot duck pony snail hen mouse lizard".split()
KIN = "sister,brother,best friend,cousin,grandma,grandpa,mum,dad,uncle,aunt,neighbour,classmate,teacher,coach".split(",")
TOYS = "teddy bear,robot,doll,bike,boat,toy train,snowman,plant,guitar,scooter".split(",")
THINGS = "pencil,key,umbrella,hat,ball,book,eraser,scarf,cup,glove,notebook".split(",")
LISTS = {
    "colour": "red blue green yellow white black purple pink orange grey brown gold silver".split(),
    "fruit": "apples,bananas,grapes,peaches,pears,cherries,mangoes,plums,melons,oranges,kiwis,lemons,strawberries,blueberries,pineapples,coconuts,figs,papayas,watermelons,apricots,raspberries,limes,dates,berries".split(","),
    "animal": "elephants,giraffes,pandas,tigers,penguins,dolphins,foxes,owls,camels,frogs,whales,zebras,otters,bees,lions,monkeys,rabbits,horses,ducks,sheep,goats,cows,turtles,snakes,spiders,sharks,parrots,wolves,bears,deer,kangaroos,koalas,crocodiles,hippos,swans,geese,squirrels,hedgehogs,seals,eagles,mice,lizards,octopuses,crabs".split(","),
    "food": "noodles,rice,dumplings,soup,pancakes,carrots,bread,eggs,fish,tofu,cookies,pumpkin,corn,jelly,toast,honey,pizza,cheese,salad,beans,potatoes,tomatoes,chicken,beef,sausages,pasta,cabbage,onions,mushrooms,peas,biscuits,popcorn,ice cream,chocolate,cake,apple pie,sandwiches,porridge,yogurt,nuts,butter,jam,candy,spinach,lettuce,hot dogs,fried rice,burgers,grass,seeds".split(","),
    "game": "hide and seek,hopscotch,chess,tag,puzzles,marbles,riddles,cards,dominoes,bingo,catch,leapfrog,checkers,charades,word games,bowling,darts,treasure hunts".split(","),
    "sport": "swimming,running,football,tennis,skating,cycling,climbing,basketball,rowing,hockey,golf,baseball,volleyball,karate,table tennis,skiing,diving,boxing,badminton,surfing,judo".split(","),
    "season": "spring summer autumn winter".split(), "subject": "maths,art,music,science,Chinese,English".split(","),
    "drink": "milk,tea,orange juice,water,lemonade,cocoa,hot chocolate,apple juice,soda,coffee,milkshakes,iced tea,grape juice,coconut water".split(","), "insect": "ants,bees,ladybirds,crickets,moths,beetles,dragonflies".split(","),
    "hobby": "drawing,singing,reading,cooking,dancing,fishing,painting,gardening,folding paper,playing the piano,flying kites,collecting stamps,baking bread,taking photos,watching birds,riding horses,making kites,playing the guitar,knitting,skating,writing stories,playing chess,telling jokes,building robots,looking at stars,growing tomatoes,making masks,camping,hiking,learning French,playing the drum,picking shells".split(","),
    "job": "a doctor,a teacher,a cook,a painter,a pilot,a nurse,a farmer,a singer,a baker,a vet,a sailor,an astronaut,a writer,a builder,a driver,a dancer,a police officer,a firefighter,a scientist,a farmer,an actor,a postman,a tailor,a gardener,a dentist,a waiter,a shopkeeper,a photographer,a musician,a fisherman,an engineer,a barber,a soldier,a guide".split(","),
    "trip": "the zoo,the park,the beach,the library,the museum,the lake,the farm,the mountains,the bookshop,the cinema,the theatre,the castle,the river,the market,the forest,the island,the swimming pool,the toy shop,the circus,the airport,the bakery,the aquarium,the stadium,the desert,the village,the fair".split(","),
    "kind": "fish,bird,tree,flower,stone,drum,cake,boat,hat,soup,dance,game,shell,cloud".split(","),
}
FAVOURITES = {"colour": "colour", "color": "colour", "fruit": "fruit", "animal": "animal", "food": "food", "game": "game", "sport": "sport", "season": "season",
              "subject": "subject", "drink": "drink", "book": "name", "song": "name", "number": "small", "toy": "word"}
NAMES = """Alice Adam Amber Andy Arthur Bobby Bonnie Brian Carl Carol Charlie Chloe Clara Cody Dora Eddie Edward Elsie Emily Emma Eric Ethan Eva Fiona Frank Fred George Grace Hannah Harry Helen Henry Holly Isaac Jacob James Jane Jason Jenny Jim Joe John Julia Kevin Kitty Laura Linda Lola Lucas Maggie Maria Mark Martha Mary Matt Max Megan
Michael Mike Molly Nancy Nick Oliver Olivia Paul Penny Polly Rachel Ray Rex Robin Ron Rose Ryan Sally Sandy Sara Scott Simon Sophie Stella Steve Susan Ted Tim Tina Tony Vera Victor Walter Wendy Will Zara Button Bubbles Caramel Cookie Cocoa Dusty Fluffy Honey Jelly Mango Marble Midnight Mocha Muffin Nugget Olive Patch Peanut Pickle
Pumpkin Scout Shadow Silver Smoky Snowball Socks Spark Spot Star Storm Sugar Tiger Toffee Truffle Velvet Waffle Whisker Ziggy""".split() + "Coco Max Bella Lucky Milo Luna Rocky Daisy Toby Pepper Ginger Oscar Ruby Teddy Sunny Biscuit Misty Poppy Jack Ben Anna Lily Mia Sam Leo Zoe Ella Noah Ivy Finn Rosa Omar Kenji Priya Nina Hugo".split()
PEOPLE = "Tom Anna Ben Lily Mia Sam Leo Zoe Jack Ella Noah Ivy Omar Nina Hugo Rosa Kate Peter Lucy Amy Dan Mei".split()
TEACHERS = [t + " " + n for t in ("Mr", "Ms", "Mrs") for n in "Lee Brown Smith Green Rossi Chen Park Young Hill Wood".split()]
ONSETS = "b c d f g h j k l m n p r s t v w z bl br cl dr fl gr pl sh st tr th".split()
VOWELS = "a e i o u a e i o oo ee ai".split()
CODAS = ["", "", "", "n", "l", "s", "r", "t", "ck", "m"]
MONTHS = "January February March April May June July August September October November December".split()
NUMBERS = "two three four five six seven eight nine ten eleven twelve".split()
PREPOSITIONS = "under,behind,on,near,beside,next to,on top of".split(",")
INSIDE = "drawer,box,bag,garden,kitchen,cupboard,basket,car,tent,toy box,hall,cellar,shed,classroom,bathroom,suitcase,pocket,bucket".split(",")
SPOTS = "drawer,bed,shelf,door,table,sofa,box,window,bag,piano,chair,cupboard,basket,desk,lamp,tree,car,fridge,stairs,bookcase,tent,bath,blanket,toy box,wall,gate,clock".split(",")
PLACES = "Berlin Vienna Athens Prague Dallas Denver Chicago Toronto Sydney Perth Milan Venice Naples Seoul Osaka Mumbai Jakarta Bangkok Manila Moscow Warsaw Zurich Geneva Lyon Porto Havana Quito Bogota Santiago Dakar Accra Tunis Dubai Doha Shanghai Chengdu Suzhou Kunming Harbin Guilin Nanjing Xiamen York Leeds Oxford Bath Texas Kenya Spain Italy Canada Peru Egypt Norway Japan India Brazil Mexico Beijing Paris London Rome Lima Cairo Tokyo Oslo Delhi Boston Kyoto Dublin Madrid Nairobi Lisbon Hanoi".split()

RELATIONS = [
    ("pet", ["{P} {N} is called {V}", "{P} {N}'s name is {V}", "{P} {N} is named {V}"], ["what is {P} {N} called", "what is {P} {N}'s name", "what's {P} {N} called", "what's the name of {P} {N}"], "the name of {P} {N}", PETS, "name"),
    ("kin", ["{P} {N} is called {V}", "{P} {N}'s name is {V}"], ["what is {P} {N} called", "what is {P} {N}'s name", "what's {P} {N}'s name"], "{P} {N}'s name", KIN, "name"),
    ("toy", ["{P} {N} is called {V}", "{P} {N}'s name is {V}"], ["what is {P} {N} called", "what's {P} {N}'s name"], "what {P} {N} is called", TOYS, "name"),
    ("me", ["{P} name is {V}"], ["what is {P} name", "what's {P} name"], "{P} name", [""], "name"),
    ("favourite", ["{P} favourite {N} is {V}"], ["what is {P} favourite {N}", "what's {P} favourite {N}", "which {N} is {P} favourite"], "{P} favourite {N}", list(FAVOURITES), "FAVOURITE"),
    ("birthday", ["{P} birthday is {V}", "{P} birthday is on {V}"], ["when is {P} birthday", "what day is {P} birthday"], "when {P} birthday is", [""], "date"),
    ("hobby", ["{P} hobby is {V}", "{P} favourite hobby is {V}"], ["what is {P} hobby", "what's {P} hobby"], "{P} hobby", [""], "hobby"),
    ("home", ["{P} family comes from {V}", "{P} home town is {V}"], ["where does {P} family come from", "what is {P} home town"], "{P} home town", [""], "place"),
    ("put", ["{P} {N} is {V}"], ["where is {P} {N}", "where's {P} {N}"], "where {P} {N} is", THINGS, "where"),
    ("colour_of", ["{P} {N} is {V}"], ["what colour is {P} {N}"], "the colour of {P} {N}", "bike,bag,hat,coat,boat,kite,scarf,door".split(","), "colour"),
    ("job", ["{P} {N} is {V}"], ["what does {P} {N} do", "what is {P} {N}'s job"], "{P} {N}'s job", "mum dad uncle aunt grandpa".split(), "job"),
    ("pet_eat", ["{P} {N} likes {V}", "{P} {N} loves {V}"], ["what does {P} {N} like to eat", "what food does {P} {N} like"], "what {P} {N} likes to eat", PETS, "food"),
    ("age", ["{P} {N} is {V} years old"], ["how old is {P} {N}"], "how old {P} {N} is", KIN[:7], "small"),
    ("trip", ["{P} class is going to {V}", "{P} family is going to {V}"], ["where is {P} class going", "where is {P} family going"], "where you are going", [""], "trip"),
    ("x_live", ["{X} lives in {V}"], ["where does {X} live"], "where {X} lives", [""], "place"),
    ("x_eat", ["{X} likes to eat {V}", "{X} eats {V}"], ["what does {X} like to eat", "what does {X} eat"], "what {X} eats", [""], "food"),
    ("x_kind", ["a {X} is a kind of {V}"], ["what is a {X}", "what's a {X}"], "what a {X} is", [""], "kind"),
    ("x_mean", ["{X} means {V}"], ["what does {X} mean"], "what {X} means", [""], "word"),
    ("x_capital", ["the capital of {X} is {V}"], ["what is the capital of {X}"], "the capital of {X}", [""], "place"),
    ("x_fear", ["{X} is afraid of {V}"], ["what is {X} afraid of"], "what {X} is afraid of", [""], "animal"),
    ("code", ["{P} secret word is {V}"], ["what is {P} secret word", "what's {P} secret word"], "{P} secret word", [""], "word"),
    ("kite", ["{P} {N} is called {V}", "{P} {N}'s name is {V}"], ["what is {P} {N} called", "what's {P} {N}'s name"], "{P} {N}'s name", ["kite", "lamb", "drum"], "name"),
    ("insect", ["{P} favourite insect is {V}"], ["what is {P} favourite insect"], "{P} favourite insect", [""], "insect"),
    ("x_ride", ["{X} rides {V}"], ["what does {X} ride"], "what {X} rides", [""], "word"),
]
HELD_OUT = {"kite", "insect", "x_ride"}

GROUNDED = """{F}.|{F}!|I remember: {F}.|It's {V}.|It's {V}!|{V}!|{V}, right?|{F}, isn't that right?|Yes, I know! {F}.|Easy: {F}.|You told me: {F}.|I didn't forget. {F}.|Let me think... {F}.|Oh, I know this one. It's {V}.|{F}. I remember that.|Of course! {F}.|That's {V}.|{V}, I think you said.
{W} told me: {F}.|I learned that from {W}. {F}.|The answer is {V}.|I kept it in my notebook: {V}.|Hmm, {V}!|{F}. Did I get it right?|I know! It's {V}.|{V}. I was hoping you would ask.|Got it: {V}.|I still remember, {F}.|Hooray, I know it: {V}.|{F}. Thank you for teaching me.""".replace("\n", "|").split("|")
# The two she uses most: a bare answer, and, where the recalled line names a teller, whom she has it from.
GROUNDED_PLAIN = "{F}.|{F}.|{F}.|{F}!|It's {V}.|It's {V}.|It's {V}!|{V}.|{V}!".split("|")
GROUNDED_TOLD = "{W} told me {F}.|{W} said {F}.|{F}. {W} told me.|{V}. {W} taught me that.|I learned it from {W}: {V}.|{W} told me: {F}.".split("|")
ABSENT = """I don't know {T} yet. Can you teach me?|I haven't learned {T} yet.|Nobody has told me {T}. Will you?|Hmm, I don't know {T}. Please tell me!|I don't remember anyone telling me {T}.|I can't say {T}, because I haven't learned it.|I won't guess. Can you tell me {T}?|I looked in my memory, but I didn't find {T}.|That's new to me. Tell me {T}?|Sorry, I don't know {T}.
I'm not sure {T} is something I was taught. Teach me?|I'd like to know {T}, but I don't yet.|No one taught me {T} yet.|You haven't told me {T}. I'm listening!|I don't know that one. What about you, do you know {T}?|{T}? I haven't learned that.|I'm still little, and I don't know {T}.|Please teach me {T}, then I'll know.|I have no note about {T}. Can you help?|My notebook is empty there. I don't know {T}.
Honestly, I don't know {T}.|Good question! I haven't learned {T}.|I wish I knew {T}. Will you tell me?|I don't know {T}, but I want to learn.|Not yet! I have to learn {T} first.|I never heard {T}. Could you explain?""".replace("\n", "|").split("|")
TAUGHT = """{F}. Thank you, I'll remember!|Got it: {F}.|Oh, {F}! Thanks for telling me.|{F}. I wrote it down.|Now I know: {F}.|Thank you! {F}.|I'll remember that {F}.|So {F}. That's nice to know.|{F}, is that right? I'll keep it.|Yay, I learned something: {F}.|OK, {F}.|{V}! I won't forget.|I see, {F}.|Let me say it back: {F}.|{V}, {V}. Now it's in my head.|Wow, {F}.|I didn't know that {F}. Thanks!
Thanks for teaching me. {F}.|New for my notebook: {F}.|I like that. {F}.|Good, {F}. Ask me tomorrow!|{F}. I'm happy you told me.|I heard you: {F}.|All right, {F}. I will think of it tonight.|That's easy to remember: {V}.|Ooh, {V}! Thank you.|So it's {V}. Thank you for telling me.|{F}. I'll practise it tonight.""".replace("\n", "|").split("|")
CHANGED = "Thank you, I fixed it: {F}.|Oh, so {F} now.|I changed it. It's {V}.|Got it, {V} now, not the old one.|OK, I'll say {V} from now on.|Thanks for the correction. {F}.".split("|")

ASK = ["{Q}?"] * 9 + ["{Q}"] * 5 + ["Do you remember, {Q}?", "Xiaohe, {Q}?", "Hey, {Q}?", "Quiz time: {Q}?", "Tell me, {Q}?", "So {Q}?", "Can you tell me, {Q}?", "One question: {Q}?", "Hi Xiaohe, {Q}?"]
TELL = ["{S}."] * 8 + ["{S}"] * 4 + ["Xiaohe, {S}.", "Did you know? {S}.", "I'll teach you: {S}.", "Remember this: {S}.", "Listen, {S}.", "Guess what, {S}!", "By the way, {S}.", "I want to tell you something. {S}."]
CHANGE = ["No, {S}.", "Actually, {S}.", "That's wrong, {S}.", "Sorry, I mean {S}."]
RECALLED = ["{W} told me: {S}."] * 6 + ["{W} taught me: {S}.", "{W} taught: {S}.", "{W} said: {S}.", "{S}.", "You told me: {S}."]
ECHO = ["{Q}?", "Now, {Q}?", "So {Q}?", "Quiz: {Q}?"]
KNOWLEDGE = [("what is a {X}", "what a {X} is"), ("who made the {X}", "who made the {X}"), ("where is {X}", "where {X} is"), ("what does {X} mean", "what {X} means"), ("how does a {X} work", "how a {X} works")]
WORLD = [(q, t) for q, _, t in (x.partition("=") for x in """why is the sky blue=why the sky is blue|what is on the moon=what is on the moon|how far is the sun=how far the sun is|what is the highest mountain=which mountain is the highest|what is the biggest animal=which animal is the biggest|who invented the light bulb=who invented the light bulb
what is the capital of France=the capital of France|how big is the earth=how big the earth is|why does it thunder=why it thunders|why is the sea salty=why the sea is salty|how do planes fly=how planes fly|how many bones do we have=how many bones we have|what is a black hole=what a black hole is
how do bees make honey=how bees make honey|why do leaves fall=why leaves fall|what is electricity=what electricity is|what is a volcano=what a volcano is|what is seven times eight=seven times eight|who was the first man on the moon=who was first on the moon|how long is the Great Wall=how long the Great Wall is
what is the fastest animal=which animal is the fastest|what time is it=what time it is|what is the date today=today's date|will it rain tomorrow=tomorrow's weather|who won the game=who won the game|what is in the news=today's news|what is the capital of Japan=the capital of Japan|how old is the sun=how old the sun is
who wrote this book=who wrote it|why do we dream=why people dream|what are clouds made of=what clouds are made of|how do fish breathe=how fish breathe|who is the richest person=who is the richest|how many stars are there=how many stars there are""".replace("\n", "|").split("|"))]
REPEAT = ["Say after me: {}", "Repeat: {}", "Please say: {}"]
CHECK = "{S}, right?"
YES = "Yes, {F}.|That's right, it's {V}.|Yes! {F}.|Right, I remember {V}.".split("|")
NO = "I don't think so. {F}.|No, it's {V}, not {G}.|Hmm, I remember {V}.|Not {G}. {F}.".split("|")

ME, MY, YOU, REMEMBER = "my", "my ", "you", "I remember:"
CLASHES = {"put": {"colour_of", "job"}, "colour_of": {"put"}, "kin": {"job", "age"}, "job": {"kin", "age"}, "hobby": {"favourite"}, "home": {"trip"}, "trip": {"home"}}


def fill(pattern, owner, mine, **parts):
    possessive = owner if owner == "my" else owner + ("'" if owner.endswith("s") else "'s")
    if not mine and possessive.startswith("my"):
        possessive = "your" + possessive[2:]
    text = pattern.format(P=possessive, **parts)
    return text if mine else text.replace(" my ", " your ")


def start(sentence):
    return sentence


def finish(text):
    """Capitals after full stops; a question or reply begins with one too."""
    out, up = [], True
    for i, ch in enumerate(text):
        out.append(ch.upper() if up and ch.isalpha() else ch)
        if ch.isalnum():
            up = False
        if ch in ".!?" and text[i + 1:i + 2] == " " and text[max(0, i - 2):i] != "..":
            up = True
    return "".join(out)
