# ruff: noqa: RUF001 - letters that look alike are the point: names in many alphabets
"""What the invented orders are made of: markets with their people and places, goods, carriers and banks.

Telephone numbers are from the ranges kept for fiction (North America: 555-0100 to 0199; United Kingdom:
7700 900000 to 900999) or have a national number of zeros, which nobody is given. E-mail is at example.com,
reserved by RFC 2606.
"""

from datetime import timedelta, timezone
from typing import Final, NamedTuple


class Place(NamedTuple):
    city: str
    region: str
    street: str


class Market(NamedTuple):
    """A country orders come from. `rate` is units of `currency` to a US dollar, about; `phone` is a prefix
    which `phone_digits` more digits complete; `zone` is the offset its clocks write."""

    locale: str
    currency: str
    rate: float
    zone: timezone
    phone: str
    phone_digits: int
    people: tuple[str, ...]
    places: tuple[Place, ...]


class Product(NamedTuple):
    """`dollars` is the list price."""

    name: str
    brand: str
    dollars: float
    sizes: tuple[str, ...]


def _hours(offset: float) -> timezone:
    return timezone(timedelta(hours=offset))


MARKETS: Final = (
    Market(
        "en", "USD", 1, _hours(0), "+120255501", 2,
        ("Grace O'Neill", "Test Testov", "Ada Brown", "Samuel Fitch-Jones", "Zoë Carter", "Bo Li"),
        (Place("Springfield", "Illinois", "Main St"), Place("St. John's", "Newfoundland", "Water St"),
         Place("Dover", "Delaware", "Loockerman St")),
    ),
    Market(
        "en", "GBP", 0.8, _hours(0), "+447700900", 3,
        ("Alice Whitcombe", "Siân Llewellyn", "Niamh Byrne", "Arjun Patel"),
        (Place("Ynys Môn", "Cymru", "Stryd Fawr"), Place("Leeds", "West Yorkshire", "The Headrow")),
    ),
    Market(
        "de", "EUR", 0.9, _hours(1), "+49000000", 4,
        ("Jürgen Groß", "Käthe Müller", "Anna-Lena Schröder", "Björn Weiß"),
        (Place("Köln", "Nordrhein-Westfalen", "Hohe Straße"), Place("Görlitz", "Sachsen", "Brüderstraße"),
         Place("München", "Bayern", "Türkenstraße")),
    ),
    Market(
        "fr", "EUR", 0.9, _hours(1), "+33000000", 4,
        ("Hélène Lefèvre", "François Çelik", "Anaïs d'Aubigné", "Noël Hébert"),
        (Place("Besançon", "Bourgogne-Franche-Comté", "rue de l'Église"),
         Place("L'Haÿ-les-Roses", "Île-de-France", "allée des Œillets")),
    ),
    Market(
        "ru", "RUB", 90, _hours(3), "+7000000", 4,
        ("Алёна Щукина", "Пётр Объедков", "Марья Ивановна Гусева", "Тимур Ахметов"),
        (Place("Орёл", "Орловская область", "ул. Ленина"), Place("Москва", "Москва", "Чистопрудный бульвар"),
         Place("Йошкар-Ола", "Марий Эл", "ул. Эшкинина")),
    ),
    Market(
        "kk", "KZT", 450, _hours(5), "+7700000", 4,
        ("Әйгерім Қасымова", "Нұрлан Өтебаев", "Гүлназ Ібраева"),
        (Place("Алматы", "Алматы", "Абай даңғылы"), Place("Өскемен", "Шығыс Қазақстан", "Қазақстан көшесі")),
    ),
    Market(
        "ka", "GEL", 2.7, _hours(4), "+995000000", 3,
        ("ნინო ბერიძე", "გიორგი მაისურაძე", "თამარ წიკლაური"),
        (Place("თბილისი", "თბილისი", "რუსთაველის გამზირი"), Place("ქუთაისი", "იმერეთი", "წერეთლის ქუჩა")),
    ),
    Market(
        "he", "ILS", 3.6, _hours(2), "+972000000", 4,
        ("נועה לוי", "יוסף בן־דוד", "שִׁירָה כהן"),
        (Place("קריית מוצקין", "הקריות", "שדרות ירושלים"), Place("תל אביב–יפו", "גוש דן", "רח׳ אלנבי")),
    ),
    Market(
        "ar", "AED", 3.7, _hours(4), "+971000000", 3,
        ("ليلى الحسن", "عبد الرحمٰن يوسف", "مُنى خليل"),
        (Place("دبي", "دبي", "شارع الشيخ زايد"), Place("الشارقة", "الشارقة", "شارع الملك فيصل")),
    ),
    Market(
        "tr", "TRY", 34, _hours(3), "+90000000", 4,
        ("İpek Yıldız", "Çağrı Öztürk", "Işıl Şahin"),
        (Place("İstanbul", "Marmara", "İstiklâl Cd."),
         Place("Şanlıurfa", "Güneydoğu Anadolu", "Atatürk Blv.")),
    ),
    Market(
        "ja", "JPY", 150, _hours(9), "+81000000", 4,
        ("山田 花子", "𠮷野 太郎", "さとう みき"),
        (Place("札幌市", "北海道", "大通西"), Place("京都市", "京都府", "四条通")),
    ),
    Market(
        "zh", "CNY", 7.2, _hours(8), "+86000000", 4,
        ("王小明", "李靜", "欧阳雪"),
        (Place("成都市", "四川省", "春熙路"), Place("廣州市", "廣東省", "北京路")),
    ),
    Market(
        "hi", "INR", 83, _hours(5.5), "+91000000", 4,
        ("अनीता शर्मा", "क्षितिज त्रिपाठी"),
        (Place("जयपुर", "राजस्थान", "एम. आई. रोड"), Place("इन्दौर", "मध्य प्रदेश", "महात्मा गांधी मार्ग")),
    ),
)  # fmt: skip

_CLOTHES: Final = ("XS", "S", "M", "L", "XL", "XXL")
_SHOES: Final = ("36", "37.5", "39", "41", "42 2/3", "44")
_ONE: Final = ("0",)

PRODUCTS: Final = (
    Product("Mascaras", "Vivienne Sabo", 4.53, _ONE),
    Product("Lip balm", "Pêche", 2.2, _ONE),
    Product("Крем для рук", "Ромашка", 1.9, _ONE),
    Product("T-shirt", "Plain & Simple", 12, _CLOTHES),
    Product("T-shirt <b>bold</b>", "Markup", 14.5, _CLOTHES),
    Product("Wool socks 🧦, pair", "Nordlicht", 8.4, ("36-38", "39-41", "42-44")),
    Product("Platzdeckchen, weiß", "Größe", 6.3, _ONE),
    Product("Winter jacket", "Şimşek", 119.99, _CLOTHES),
    Product("Running shoes", "Gazelle №5", 84, _SHOES),
    Product("Валенки", "Мороз", 41, _SHOES),
    Product("ქუდი", "სვანეთი", 17, ("56", "58", "60")),
    Product('Mug "Good morning"', "Ceramica", 7.7, _ONE),
    Product("USB-C cable, 6'", "Wire/Works", 5, _ONE),
    Product("Path C:\\new, a novel", "Backslash Books", 9.9, _ONE),
    Product("急須", "有田", 33, _ONE),
    Product("כובע צמר", "חורף", 15, ("56", "58")),
    Product("قهوة بالهيل 250g", "ديوان", 6.8, _ONE),
    Product("Café moulu 1 kg", "Brûlerie", 18.2, _ONE),
    Product("Desk lamp", "Lumen", 36.5, _ONE),
    Product("Bookshelf", "Björk", 149, ("80x200", "120x200")),
    Product("Phone case", "Shell", 3.1, ("S", "L")),
    Product("Headphones", "Echo", 230, _ONE),
    Product('Laptop 14"', "Kontur", 1_190, _ONE),
    Product("Gift wrapping", "Ruban", 0.6, _ONE),
)  # fmt: skip

SALES: Final = (0, 0, 0, 0, 5, 10, 15, 20, 30, 33, 50, 70)
"""Percent off; no sale is the commonest."""
DELIVERY_DOLLARS: Final = (0.0, 0.0, 2.5, 5.0, 9.9, 15.0, 39.0)
CARRIERS: Final = ("meest", "dhl", "cdek", "ups", "posti", "self-pickup")
PROVIDERS: Final = ("wbpay", "card", "sbp", "paypoint")
BANKS: Final = ("alpha", "beta", "gamma", "Банк", "Crédit")
STATUSES: Final = (202, 202, 202, 200, 201, 404)
SIGNATURES: Final = ("", "", "", "", "7f3b1c", "sig:é")
